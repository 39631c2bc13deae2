import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.tool_use.calculator import calculate, continuation, marked


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("2 + 8", "10"),
        ("2 - 8", "-6"),
        ("10 / 2", "5"),
        ("7 / 3", "2.33"),
        ("7 / 2", "3.5"),
        ("(2 + 3) * 4", "20"),
        ("-1 * 4", "-4"),
        ("1.5 * 2", "3"),
        ("9 % 4", "1"),
        ("1 - 1.0", "0"),
        ("-0.001 * 1", "0"),
        ("12345678901234567890 * 10", "123456789012345678900"),
    ],
)
def test_results(expression, result):
    assert calculate(expression) == result


@pytest.mark.parametrize(
    "expression", ["", "1 / 0", "2 +", "x + 1", "9 ** 9 ** 9", "__import__('os')", "'a' * 9", "(" * 70, "1e308 * 1e308 / 0", "1 +" * 100]
)
def test_what_is_no_sum_gives_nothing(expression):
    assert calculate(expression) is None


def test_equations_become_calls_and_nothing_else_changes():
    assert marked("2 + 8 = 10 (left: 8 10 14)\n14 /  2 = 7 (left: 7 8 8)") == "<<2 + 8>> = 10 (left: 8 10 14)\n14 /  2 = 7 (left: 7 8 8)"
    assert marked("so 48/2=24 clips") == "so <<48/2>>=24 clips"


@pytest.mark.parametrize(
    "text",
    ["2 + 8 = 11", "7 / 3 = 2.333", "a2 + 8 = 10", "2 + 8 = 10.5", "2 + 8 = 10%", "2 + 8 = 10 + 0", "version 1.2", "x = 3", "2 + 8 =10"],
)
def test_what_the_calculator_would_say_otherwise_is_left_alone(text):
    assert marked(text) == text


numbers = st.integers(0, 999)


@given(numbers, st.sampled_from("+-*/"), numbers, st.text(st.characters(exclude_characters="<>"), max_size=20))
def test_every_equation_with_its_own_result_is_marked_and_comes_back(a, operator, b, tail):
    expression = f"{a} {operator} {b}"
    told = continuation(expression)
    if told is None:
        assert (operator, b) == ("/", 0)
        return
    text = f"{expression}{told} ({tail})"
    assert marked(text).startswith(f"<<{expression}>>{told}")
