"""A user's checker is one function in a file; what is wrong with it is said with file and line, and changes with its text."""

import json

import pytest

from slm_pipeline.answers import render_answer
from slm_pipeline.checkers import Checked, CheckerError, checked_answer, checker_of, checkers_of, is_gold
from slm_pipeline.records import Answer, ToolCall
from slm_pipeline.settings import Settings

MESSAGES = [{"role": "user", "content": "numbers: 4 9"}]
LINES = """\
from slm_pipeline.checkers import Checked

def check(messages, answer):
    allowed = set(messages[-1]["content"].split())
    lines = answer.splitlines()
    good = [line for line in lines if set(line.split()) <= allowed]
    return Checked(len(good) / len(lines), "\\n".join(good))
"""


def verdict_on(checker, answer: Answer) -> Checked:
    return checked_answer(checker, MESSAGES, answer, render_answer(answer, None))


@pytest.fixture
def write(tmp_path):
    """Writes a checker's text for a key and returns the checker of task `t-1` in group `g-1`."""
    settings = Settings(home=tmp_path)

    def checker(text: str, key: str = "t-1"):
        settings.checkers.mkdir(exist_ok=True)
        (settings.checkers / f"{key}.py").write_text(text)
        return checker_of("t-1", "g-1", settings)

    checker.settings = settings
    return checker


def test_bad_lines_are_taken_out(write):
    checker = write(LINES)
    assert verdict_on(checker, Answer(text="4 9\n4 5\n9\n1")) == Checked(0.5, "4 9\n9")
    assert verdict_on(checker, Answer(text="5")) == Checked(0.0, None)


@pytest.mark.parametrize(("returned", "verdict"), [("True", (1.0, "4")), ("False", (0.0, None)), ("0.25", (0.25, "4")), ("0", (0.0, None))])
def test_a_bare_score_keeps_all_or_nothing(write, returned, verdict):
    assert verdict_on(write(f"def check(messages, answer): return {returned}"), Answer(text="4")) == Checked(*verdict)


def test_tool_calls_come_as_the_assistants_message(write):
    text = "import json\ndef check(messages, answer): return json.loads(answer['tool_calls'][0]['function']['arguments'])['n'] > 1"
    answer = Answer(tool_calls=(ToolCall("f", {"n": 2}),))
    found = verdict_on(write(text), answer)
    assert found.score == 1
    assert json.loads(found.kept) == {"name": "f", "arguments": {"n": 2}}


def test_a_task_has_its_own_checker_before_its_groups(write):
    assert checker_of("t-1", "g-1", write.settings) is None
    groups = write("def check(messages, answer): return True", "g-1")
    assert groups.path.name == "g-1.py"
    own = write("def check(messages, answer): return False")
    assert own.path.name == "t-1.py"
    assert checkers_of({"t-1": {}, "t-2": {}}, "g-1", write.settings) == {"t-1": own, "t-2": groups}


def test_a_changed_checker_is_another_one_and_takes_effect_at_once(write):
    before = write("def check(messages, answer): return True")
    after = write("def check(messages, answer): return False")
    assert before.digest != after.digest
    assert [verdict_on(checker, Answer(text="x")).score for checker in (before, after)] == [1, 0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def check(messages, answer):\n    x = 1\n    return x / 0", "checkers/t-1.py, line 3: ZeroDivisionError"),
        ("import json\ndef parse(a):\n    return json.loads(a)\ndef check(m, a): return parse(a)", "line 3: JSONDecodeError"),
        ("def check(messages, answer)\n    return 1", "line 1: SyntaxError"),
        ("import nowhere_to_be_found", "line 1: ModuleNotFoundError"),
        ("x = 1\nraise SystemExit(3)", "line 2: SystemExit: 3"),
        ("def verify(messages, answer): return 1", "line 1: defines no function check(messages, answer)"),
        ("\ndef check(messages, answer): return 1.5", "line 2: check returned 1.5; return True, False, a number from 0 to 1, or a Checked"),
        ("def check(messages, answer): return None", "line 1: check returned NoneType"),
        ("def check(messages, answer): return float('nan')", "line 1: check returned nan"),
        ("def check(messages): return 1", "line 1: TypeError"),
        ("def check(messages, answer): raise ValueError(answer)", "line 1: ValueError"),
        ("def check(messages, answer): return answer", "line 1: check returned str;"),
    ],
)
def test_what_is_wrong_with_a_checker_is_said_with_file_and_line(write, text, why):
    with pytest.raises(CheckerError) as error:
        verdict_on(write(text), Answer(text="no JSON"))
    assert why in str(error.value)
    assert str(write.settings.home) not in str(error.value), "a path of a machine"
    assert "no JSON" not in str(error.value), "an erasure leaves panels as they are"


def test_a_checker_that_never_ends_is_ended_and_the_next_answer_is_checked():
    from slm_pipeline.checker_process import CheckerProcess

    process = CheckerProcess("t-1.py", "def check(messages, answer):\n    while answer == 'loop': pass\n    return True", seconds=2)
    assert "longer than 2 s" in process.check([], "loop", "loop")["error"]
    assert process.check([], "fine", "fine") == {"score": 1.0, "kept": "fine"}


def test_a_checker_that_crashes_takes_nothing_with_it(write):
    checker = write("import os\ndef check(messages, answer):\n    print('a word')\n    return os._exit(3) if answer == 'x' else True")
    with pytest.raises(CheckerError, match="ended with code 3"):
        verdict_on(checker, Answer(text="x"))
    assert verdict_on(checker, Answer(text="y")).score == 1


@pytest.mark.parametrize(("text", "gold"), [("GOLD = True\n", True), ("", False), ("GOLD = 'maybe'\n", False)])
def test_a_checker_says_itself_whether_its_word_is_final(write, text, gold):
    assert is_gold(write(text + "def check(messages, answer): return True")) is gold
