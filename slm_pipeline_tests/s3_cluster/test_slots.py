import random

from hypothesis import assume, given
from hypothesis import strategies as st

from slm_pipeline.s3_cluster.marks import plain, units
from slm_pipeline.s3_cluster.slots import Template, alternatives, best_match, common_template, slot_kinds, template_of

WORD = st.from_regex(r"[a-f]{5,7}", fullmatch=True)
STATIC = st.lists(st.lists(WORD, min_size=2, max_size=4), min_size=1, max_size=4)


def found(texts):
    return template_of([plain(text) for text in texts], [units(text) for text in texts])


@given(STATIC, st.integers(0, 1000))
def test_static_words_are_found_between_values(runs, seed):
    rng = random.Random(seed)
    used = {word for run in runs for word in run}
    assume(len(used) == sum(map(len, runs)))
    values = [[f"v{rng.randrange(10**9):x}z" for _ in range(len(runs) - 1)] for _ in range(8)]
    texts = []
    for some in values:
        parts = [" ".join(runs[0])]
        for value, run in zip(some, runs[1:], strict=True):
            parts += [f"q{value}", " ".join(run)]
        texts.append(" ".join(parts))
    template = found(texts)
    assert (template.starts, template.ends) == (True, True)
    assert " ".join(template.runs).split() == [word for run in runs for word in run]
    assert all(template.matched(plain(text)) == template.words for text in texts)


def test_values_are_what_stands_between_the_runs():
    texts = [f"Write to {name} about {thing} now" for name, thing in [("Ada", "a red lamp"), ("Bo", "tea"), ("Cy", "two old maps")]]
    template = found(texts)
    assert template == Template(("Write to", "about", "now"), True, True)
    assert template.values(plain(texts[0])) == ["", "Ada", "a red lamp", ""]


def test_a_prompt_must_have_nearly_all_static_words():
    template = Template(("one two three four five six seven eight", "nine ten"), True, False)
    assert template.matched(" one two three four five six seven eight x ") == 8
    assert template.matched(" one two three x nine ten ") == 0
    assert template.matched(" x one two three four five six seven eight nine ten ") == 0


def test_the_longer_template_wins():
    short, long = Template(("Sort the words",), True, False), Template(("Sort the words", "by length"), True, False)
    assert best_match([short, long], " Sort the words a b by length ") == 1
    assert best_match([short, long], " Sort the words a b ") == 0
    assert best_match([short, long], " Count the words ") is None


def test_a_value_that_differs_is_no_other_template_but_an_instruction_is():
    one = Template(("Rate how formal this sentence sounds . Sentence :",), True, False)
    two = Template(("Rate how cheerful this sentence sounds . Sentence :",), True, False)
    assert common_template(one, two) == Template(("Rate how", "this sentence sounds . Sentence :"), True, False)
    other = Template(("Rate how well the last word of this fits what was asked before . Sentence :",), True, False)
    assert common_template(one, other) is None


def test_instructions_that_stand_by_turns_divide_the_texts():
    nothing, said = [""] * 20, [f"word{i} more" for i in range(20)]
    turns = ["Name the product that it is about", "Say whether this is a complaint now"]
    slot = [f"{text} {turns[i % 2]}" for i, text in enumerate(said)]
    pieces = alternatives([nothing, slot], 4, 0.8)
    assert {(i % 2, piece) for i, piece in enumerate(pieces)} == {(i, pieces[i]) for i in (0, 1)}
    assert alternatives([nothing, said], 4, 0.8) is None


def test_a_choice_of_values_does_not_divide_the_texts_but_choices_that_go_hand_in_hand_do():
    nothing, tones = [""] * 20, ["formal", "terse"] * 10
    assert alternatives([nothing, tones, [f"text {i}" for i in range(20)]], 4, 0.8) is None
    kinds, first, second = ["Category", "Urgency"] * 10, ["billing", "low"] * 10, ["travel", "medium"] * 10
    last = ["banking", "high"] * 10
    assert len(set(alternatives([nothing, kinds, first, second, last], 4, 0.8))) == 2
    assert alternatives([nothing, tones, tones], 4, 0.8) is None  # one value named twice


def test_what_stands_first_in_few_forms_divides_the_texts():
    said = [f"text {i}" for i in range(20)]
    assert len(set(alternatives([["Sort", "Count"] * 10, said], 4, 0.8))) == 2
    names = [f"name{i % 5}" for i in range(20)]
    assert alternatives([names, said], 4, 0.8) is None


def test_kinds_of_slots():
    names = ["Ada", "Bo", "Cy", "Di", "Ed"]
    texts = [
        f"Write {i} lines by 2026-01-{10 + i} in {('French', 'Dutch')[i % 2]} to {name} on {'x ' * (4 + i)}now"
        for i, name in enumerate(names * 2)
    ]
    template = Template(("Write", "lines by", "in", "to", "on", "now"), True, True)
    assert slot_kinds(template, [plain(text) for text in texts]) == ["number", "date", "choice", "words", "text"]
