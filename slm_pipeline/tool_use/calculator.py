"""A calculator, after the annotations of GSM8K (Cobbe et al. 2021, section 2): equations in an answer become calls."""

import ast
import operator
import re

LONGEST = 80
NUMBER = r"-?\d+(?:\.\d+)?"
TERM = rf"\(*{NUMBER}\)*"
EQUATION = re.compile(rf"(?<![\w.)])({TERM}(?: ?[-+*/%] ?{TERM})+)( ?)=( ?)({NUMBER})(?![\w%]|\.\d|,\d| ?[-+*/%=] ?\d)")
OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


def calculate(expression: str) -> str | None:
    """What an expression of numbers, + - * / % and brackets gives: whole, or rounded to two decimals; None if it gives nothing."""
    if len(expression) > LONGEST:
        return None
    try:
        value = _value(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, OverflowError, KeyError, RecursionError):
        return None
    return str(value) if isinstance(value, int) else f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def _value(node: ast.expr) -> int | float:
    """The value of a node; raises KeyError for an operator, ValueError for anything else that a calculator has no key for."""
    if isinstance(node, ast.BinOp):
        return OPERATORS[type(node.op)](_value(node.left), _value(node.right))
    if isinstance(node, ast.UnaryOp):
        return OPERATORS[type(node.op)](_value(node.operand))
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    raise ValueError("not a number")


def marked(text: str) -> str:
    """`text` with every equation that the calculator confirms, to the letter, as a call and its result."""

    def call(found: re.Match) -> str:
        expression, before, after, result = found.groups()
        told = f"{before}={after}{result}"
        return f"<<{expression}>>{told}" if told == continuation(expression) else found[0]

    return EQUATION.sub(call, text)


def continuation(expression: str) -> str | None:
    """What the calculator writes behind a call: "= result", with spaces where the expression has some; None if it gives nothing."""
    result = calculate(expression)
    if result is None:
        return None
    return f" = {result}" if " " in expression else f"={result}"
