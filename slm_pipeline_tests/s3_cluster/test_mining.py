import random
import re
from collections import Counter, defaultdict

from slm_pipeline.bench._templated import generated_calls
from slm_pipeline.s3_cluster.mining import find_templates
from slm_pipeline.settings import Settings

SETTINGS = Settings()
WORDS = re.findall(
    r"\w+", "amber birch cedar delta ember flint grove hazel iris jade kelp lotus maple north olive pearl quartz river slate tulip"
)


def sentence(rng):
    return " ".join(rng.choices(WORDS, k=rng.randint(4, 9)))


def of_templates(templates, count=30, shapes=("text",), seed=1):
    """Texts of each template, their answer forms, and the number of the template of each."""
    rng = random.Random(seed)
    texts, forms, numbers = [], [], []
    for number, template in enumerate(templates):
        for _ in range(count):
            texts.append(template.format(text=sentence(rng), word=rng.choice(WORDS[:5]), n=rng.randint(1, 99)))
            forms.append(shapes[number % len(shapes)])
            numbers.append(number)
    return texts, forms, numbers


def partition(texts, forms, settings=SETTINGS):
    return [set(its) for _, its in find_templates(texts, forms, settings)]


def divided(templates, **more):
    """Whether every template is found as one task, apart from all others."""
    texts, forms, numbers = of_templates(templates, **more)
    whole = defaultdict(set)
    for i, number in enumerate(numbers):
        whole[number].add(i)
    return sorted(partition(texts, forms), key=min) == list(whole.values())


def test_slots_at_the_beginning_in_the_middle_and_at_the_end():
    assert divided(
        (
            "Write {n} rhymes on {word} for the club of {word}.",
            "{text}\n\nWhich of these words is a stone? Say one word.",
            "Sort by length, shortest first:\n{text}",
            "# Words\n{text}\n{text}\n# Task\nCount the words of each line.\n# Format\nNumbers only.",
        )
    )


def test_templates_that_share_head_and_tail():
    head, tail = "You help a gardener. Read all that follows.\nWords: {text}\n", "\nAnswer in one line, nothing else."
    assert divided([head + task + tail for task in ("Name the words that are trees.", "Say which word comes first in the alphabet.")])


def test_few_values_in_a_slot_are_one_task():
    assert divided(("Rate from 1 to 5 how {word} this sounds.\nSentence: {text}\nRating:",), count=60)


def test_a_short_difference_makes_two_tasks_only_if_the_answers_differ():
    templates = (
        "Read the words and answer in full.\nWords: {text}\nMode: list",
        "Read the words and answer in full.\nWords: {text}\nMode: count",
    )
    assert divided(templates, shapes=("json words", "word"))
    assert not divided(templates)


def test_another_verb_at_the_beginning_is_another_task():
    assert divided(("Summarise the following text in a few words: {text}", "Classify the following text in a few words: {text}"))


def test_neither_the_order_of_texts_nor_repeats_matter():
    calls = [call for call in generated_calls(600, 3) if "tools" not in call["request"]]
    texts = [call["request"]["messages"][-1]["content"] for call in calls]
    shuffled = texts[:]
    random.Random(1).shuffle(shuffled)
    found = find_templates(texts, ["text"] * len(texts), SETTINGS)
    again = find_templates(shuffled, ["text"] * len(texts), SETTINGS)
    assert [template for template, _ in found] == [template for template, _ in again]
    assert [Counter(texts[i] for i in its) for _, its in found] == [Counter(shuffled[i] for i in its) for _, its in again]


def test_a_few_words_in_common_are_no_template():
    rng = random.Random(2)
    texts = [f"{rng.choice(['where is', 'what about'])} {sentence(rng)}" for _ in range(14)]
    assert partition(texts, ["text"] * len(texts)) == []


def test_the_same_prompt_again_and_again_is_a_template():
    assert partition(["Think of a number and say it."] * 9, ["word"] * 9) == [set(range(9))]


def test_nothing_to_find():
    assert find_templates([], [], SETTINGS) == []
    assert partition(["", "", "", "", ""], ["text"] * 5) == []
