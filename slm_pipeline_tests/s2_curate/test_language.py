import pytest

from slm_pipeline.s2_curate.language import language, wrong_language

TEXTS = {
    "en": "I have looked at your order and it is not possible to change the address from here, but you can send it back to us.",
    "de": "Ich habe mir Ihre Bestellung angesehen und die Anschrift kann von hier aus "
    "nicht geändert werden, aber Sie können sie zurückgeben.",
    "fr": "J'ai regardé votre commande et il n'est pas possible de changer l'adresse "
    "pour vous, mais vous pouvez la renvoyer avec une étiquette.",
    "es": "He mirado su pedido y no es posible cambiar la dirección desde aquí, pero "
    "usted puede devolver el paquete con una etiqueta para este fin.",
    "it": "Ho guardato il suo ordine e non è possibile cambiare la via che ha scelto, ma può "
    "rispedire il pacco con una lettera per gli uffici della posta.",
    "pt": "Eu olhei o seu pedido e não é possível mudar o endereço, mas você pode "
    "devolver a caixa com uma carta para os correios do seu bairro.",
    "nl": "Ik heb naar uw bestelling gekeken en het is niet mogelijk om het adres te wijzigen, maar deze kan met een brief naar ons terug.",
    "han": "我看过您的订单，从这里无法更改地址，但是您可以把包裹寄回给我们。",
    "japanese": "ご注文を確認しましたが、こちらから住所を変えることはできません。荷物を送り返すことはできます。",
    "cyrillic": "Я посмотрел ваш заказ, отсюда нельзя изменить адрес, но вы можете отправить посылку обратно.",
    "hangul": "주문을 확인했지만 여기서는 주소를 바꿀 수 없습니다. 하지만 상자를 저희에게 다시 보내실 수 "
    "있습니다. 감사합니다. 좋은 하루 보내시고 다음에 또 뵙기를 바랍니다.",
}
QUESTIONS = {
    "en": "Can you change the address of my order, and what would that be for me?",
    "de": "Können Sie die Anschrift von meiner Bestellung ändern und was kostet mich das?",
    "han": "您能更改我的订单地址吗？",
    "cyrillic": "Вы можете изменить адрес моего заказа?",
}


@pytest.mark.parametrize(("spoken", "text"), TEXTS.items())
def test_a_few_sentences_tell_the_language(spoken, text):
    assert language(text) == spoken


@pytest.mark.parametrize("asked", QUESTIONS)
@pytest.mark.parametrize("answered", TEXTS)
def test_an_answer_in_another_language_than_the_question_is_wrong(asked, answered):
    same = asked == answered or {asked, answered} == {"han", "japanese"}
    assert wrong_language([QUESTIONS[asked]], TEXTS[answered]) != same


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (["Translate into what they speak there: I have looked at the order."], TEXTS["de"]),
        (["Answer the customer in German.", QUESTIONS["en"]], TEXTS["de"]),
        (["You are to answer what the customer of the shop asks, and that in a few words.", QUESTIONS["de"]], TEXTS["en"]),
        ([f"Sum up this letter for me, and say what is to be done:\n{TEXTS['han']}"], TEXTS["han"]),
        ([QUESTIONS["en"], TEXTS["fr"]], TEXTS["fr"]),
        ([QUESTIONS["de"]], "Yes, of course."),
        (
            [QUESTIONS["de"]],
            "```python\n# this is the code that you have asked for, and it is not long\nfor i in range(10):\n    print(i)\n```",
        ),
        ([QUESTIONS["de"]], '{"text": "it is not possible to change the address from here but you can send it back to us"}'),
        ([QUESTIONS["han"]], "3.5 / 12.75 = 0.2745, 18 + 4 = 22, 0x1F, 2026-01-01"),
        (["12 13 14"], TEXTS["de"]),
        (["Siparişimin adresini değiştirebilir misiniz?"], TEXTS["en"]),
    ],
)
def test_translations_short_texts_code_data_and_unknown_languages_are_never_wrong(asked, answer):
    assert not wrong_language(asked, answer)
