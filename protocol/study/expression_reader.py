"""Rules from text: a small part of Python's notation for expressions, and nothing else of Python.

Python's own parser makes the syntax tree; what is on the white list here becomes a rule, and
anything else is refused. No text is ever executed.
"""

import ast
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import partial
from itertools import pairwise

from protocol.study.expression import (
    COMPARISONS,
    EXTREMES,
    FUNCTIONS,
    MAX_DEPTH,
    MAX_PARTS,
    MAX_RULE_CHARACTERS,
    Apply,
    Expression,
    Name,
    Node,
    Number,
    Text,
    Truth,
    expression_of,
)
from protocol.study.problems import Problem, StudyProblems, listed, nearest, quote
from protocol.study.quantities import decimal_text, exact

MAX_EXPONENT_OF_POWER = 100

_SYMBOLS: Mapping[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.And: "and",
    ast.Or: "or",
}
_CALLS = ("where", "cases", *EXTREMES, *FUNCTIONS, "clip", "is_missing", "variable")
_EXAMPLE = "value = \"where(sex == 'female', 0.7, 1.2) * age\""
_QUOTED_NAME = 'variable("x.1") for a name that is not of letters, digits and _'


def parse_rule(text: str) -> Expression:
    """Return the rule that `text` says. It may run over several lines and hold # comments.

    Raises:
        StudyProblems: something that is not on the white list, or too long, deep or large.
    """
    if len(text) > MAX_RULE_CHARACTERS:
        raise _too_long(len(text), "a shorter rule, or two variables with a rule each")
    rule = expression_of(_Reader(text).rule())
    if len(rule.text) > MAX_RULE_CHARACTERS:
        raise _too_long(len(rule.text), "a shorter rule; chains and clip count in full")
    return rule


def _too_long(found: int, remedy: str) -> StudyProblems:
    expected = f"a rule of at most {MAX_RULE_CHARACTERS} characters"
    return StudyProblems([Problem((), expected, f"{found} of them", remedy)])


class _Reader:
    """Translates the syntax tree of one text; every refusal quotes its place in the text."""

    def __init__(self, text: str) -> None:
        self._source = f"(\n{text}\n)"  # so that line breaks mean nothing

    def rule(self) -> Node:
        tree = self._syntax()
        if tree.lineno == 1:  # nothing, a list, or parentheses that are not in pairs
            text = self._source[2:-2].strip()
            raise self._not_a_rule(quote(text) if text else "nothing")
        return self._node(tree, 1)

    def _syntax(self) -> ast.expr:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # "1if x": what Python only warns of is refused
                return ast.parse(self._source, mode="eval").body
        except SyntaxError as error:
            line, column = (error.lineno or 2) - 2, (error.offset or 1) - 1
            lines = [*self._source.split("\n")[1:-1], ""]
            found = lines[min(line, len(lines) - 1)][column:].strip()
            raise self._not_a_rule(quote(found[:40]) if found else "its end") from error
        except (ValueError, MemoryError, RecursionError) as error:
            raise self._not_a_rule("a text that cannot be read") from error

    def _not_a_rule(self, found: str) -> StudyProblems:
        remedy = f"a rule such as {_EXAMPLE}; {_QUOTED_NAME}"
        return StudyProblems([Problem((), "a rule: one expression", found, remedy)])

    def _node(self, node: ast.expr, level: int) -> Node:
        if level > MAX_DEPTH + 1:  # the minus of a number is a level here, and none in the rule
            raise self._too_deep(node)
        match node:
            case ast.Constant():
                return self._constant(node)
            case ast.Name() | ast.Attribute() | ast.Subscript():
                return Name(self._name(node))
        return self._operation(node, partial(self._node, level=level + 1))

    def _operation(self, node: ast.expr, read: Callable[[ast.expr], Node]) -> Node:
        match node:
            case ast.UnaryOp():
                return self._unary(node, read)
            case ast.BinOp():
                return self._binary(node, read)
            case ast.BoolOp():
                return self._merged(node, _SYMBOLS[type(node.op)], map(read, node.values))
            case ast.Compare():
                return self._comparison(node, read)
            case ast.IfExp():
                return self._cases(node, list(map(read, (node.test, node.body, node.orelse))))
            case ast.Call():
                return self._call(node, read)
        raise self._refusal(node, "numbers, labels, variables and operations on them", _EXAMPLE)

    def _constant(self, node: ast.Constant) -> Node:
        match node.value:
            case bool(value):
                return Truth(value)
            case str():
                return Text(self._label(node))
            case int() | float():
                return self._exact(node, Decimal(repr(node.value)))
        remedy = "is_missing(x)" if node.value is None else "a number or a label"
        raise self._refusal(node, "a number or a label", remedy)

    def _exact(self, node: ast.expr, value: Decimal) -> Number:
        try:
            return Number(Decimal(decimal_text(exact(value))))
        except StudyProblems as refusal:
            first = refusal.problems[0]
            raise self._refusal(node, first.expected, first.remedy) from None

    def _label(self, node: ast.expr) -> str:
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            raise self._refusal(node, "a text in quotes", "'low'")
        if any(unicodedata.category(character).startswith("C") for character in node.value):
            raise self._refusal(
                node, "a label of printable characters", "it without control characters"
            )
        return node.value

    def _name(self, node: ast.expr) -> str:
        """Return the variable's name: Python's notation for attributes is a name with dots here."""
        match node:
            case ast.Subscript(value=ast.Name() | ast.Attribute() as value, slice=visit):
                return f"{self._dotted(value)}[{self._visit(visit)}]"
        return self._dotted(node)

    def _dotted(self, node: ast.expr) -> str:
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            expected = "the name of a variable before a dot or a bracket"
            raise self._refusal(node, expected, "x, or x[t-1]")
        return ".".join([node.id, *reversed(parts)])

    def _visit(self, node: ast.expr) -> str:
        match node:
            case ast.Name("t"):
                return "t"
            case ast.BinOp(ast.Name("t"), ast.Sub(), ast.Constant(value=1)):
                return "t-1"
            case ast.Constant(value=int(visit)) if not isinstance(visit, bool):
                return str(visit)
        raise self._refusal(node, "a visit in brackets: t, t-1 or a number", "x[t-1]")

    def _unary(self, node: ast.UnaryOp, read: Callable[[ast.expr], Node]) -> Node:
        operand = read(node.operand)
        match node.op, operand:
            case ast.UAdd(), _:
                return operand
            case ast.USub(), Number(value):
                return Number(-value if value else value)
            case ast.USub(), _:
                return self._apply(node, "negative", [operand])
            case ast.Not(), _:
                return self._apply(node, "not", [operand])
        raise self._refusal(node, "- or not before a value", "not (a > b) instead of ~(a > b)")

    def _binary(self, node: ast.BinOp, read: Callable[[ast.expr], Node]) -> Node:
        operation = _SYMBOLS.get(type(node.op))
        if operation is None:
            raise self._refusal(
                node, "one of + - * / // % **, and, or", "'and' for '&', 'or' for '|'"
            )
        left, right = read(node.left), read(node.right)
        if operation == "**" and not (_is_exponent(right) or _is_base(left)):
            raise self._refusal(
                node,
                f"a number other than 0 and of at most {MAX_EXPONENT_OF_POWER} above **, or a "
                "positive number other than 1 below it",
                "exp(b * log(a)) for a ** b",
            )
        if operation == "%" and not (isinstance(right, Number) and right.value):
            raise self._refusal(
                node, "a number other than 0 after %", "a - b * floor(a / b) for a % b"
            )
        return self._apply(node, operation, [left, right])

    def _comparison(self, node: ast.Compare, read: Callable[[ast.expr], Node]) -> Node:
        """Return the conjunction of a chain of comparisons."""
        if isinstance(node.ops[0], ast.In | ast.NotIn) and len(node.ops) == 1:
            return self._membership(node, read)
        symbols = [_SYMBOLS.get(type(op)) for op in node.ops]
        if None in symbols:
            raise self._refusal(
                node, f"one of {' '.join(COMPARISONS)} in, each by itself", "x == 'low'"
            )
        values = [read(part) for part in (node.left, *node.comparators)]
        pairs = zip(symbols, pairwise(values), strict=True)
        links = [self._apply(node, str(symbol), pair) for symbol, pair in pairs]
        return links[0] if len(links) == 1 else self._merged(node, "and", links)

    def _membership(self, node: ast.Compare, read: Callable[[ast.expr], Node]) -> Node:
        candidates = node.comparators[0]
        if not isinstance(candidates, ast.Tuple | ast.List | ast.Set) or not candidates.elts:
            raise self._refusal(node, "a list of values after 'in'", "x in ('low', 'mid')")
        found = self._apply(node, "in", map(read, (node.left, *candidates.elts)))
        return found if isinstance(node.ops[0], ast.In) else self._apply(node, "not", [found])

    def _call(self, node: ast.Call, read: Callable[[ast.expr], Node]) -> Node:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in _CALLS:
            near = nearest(name, _CALLS) if name else "one of " + listed(_CALLS, len(_CALLS))
            raise self._refusal(node, "a call of a known function", near)
        if node.keywords or any(isinstance(part, ast.Starred) for part in node.args):
            raise self._refusal(
                node, "values between the parentheses, by position", f"{name}(a, b)"
            )
        given = len(node.args)
        if name == "variable" and given == 1:
            return Name(self._label(node.args[0]))
        if not _takes(name, given):
            raise self._refusal(node, *_usage(name))
        values = [read(part) for part in node.args]
        match name:
            case "clip":
                at_least = self._merged(node, "max", values[:2])
                return self._merged(node, "min", (at_least, values[2]))
            case "min" | "max":
                return self._merged(node, name, values)
            case "where" | "cases":
                return self._cases(node, values)
        return self._apply(node, name, values)

    def _cases(self, node: ast.expr, parts: list[Node]) -> Node:
        """Return cases of which the last, if it is cases too, goes on with these."""
        match parts[-1]:
            case Apply("cases", more):
                return self._apply(node, "cases", (*parts[:-1], *more))
        return self._apply(node, "cases", parts)

    def _merged(self, node: ast.expr, operation: str, parts: Iterable[Node]) -> Node:
        """Return `operation` with operands of the same operation taken apart: it associates."""
        operands: list[Node] = []
        for part in parts:
            match part:
                case Apply(same, inner) if same == operation:
                    operands += inner
                case _:
                    operands.append(part)
        return self._apply(node, operation, operands)

    def _apply(self, node: ast.expr, operation: str, parts: Iterable[Node]) -> Node:
        applied = Apply(operation, tuple(parts))
        if applied.depth > MAX_DEPTH:
            raise self._too_deep(node)
        if applied.size > MAX_PARTS:
            raise self._refusal(node, f"at most {MAX_PARTS} parts", "a rule for a part of it")
        return applied

    def _too_deep(self, node: ast.expr) -> StudyProblems:
        return self._refusal(
            node,
            f"at most {MAX_DEPTH} operations or cases inside one another, comparisons twice",
            "long sums in groups, (a + b + c) + (d + e + f), or a variable with a rule of its own",
        )

    def _refusal(self, node: ast.expr, expected: str, remedy: str) -> StudyProblems:
        found = ast.get_source_segment(self._source, node) or ""
        before = self._source.split("\n")[node.lineno - 1].encode()[: node.col_offset].decode()
        place = f"column {len(before) + 1}"
        if node.lineno > 2:
            place = f"line {node.lineno - 1}, {place}"
        return StudyProblems([Problem((), expected, f"{quote(found)} at {place}", remedy)])


def _is_exponent(node: Node) -> bool:
    return isinstance(node, Number) and 0 < abs(node.value) <= MAX_EXPONENT_OF_POWER


def _is_base(node: Node) -> bool:
    return isinstance(node, Number) and node.value > 0 and node.value != 1


def _takes(function: str, values: int) -> bool:
    """Return whether a function is called with so many values."""
    match function:
        case "where" | "clip":
            return values == 3
        case "cases":
            return values >= 3 and values % 2 == 1
        case "min" | "max":
            return values >= 2
    return values == 1


def _usage(name: str) -> tuple[str, str]:
    """Return what a function expects between its parentheses, and how it is written."""
    match name:
        case "cases":
            return "a value after every condition, and one at the end", (
                "cases(x < 10, 'low', x < 20, 'mid', 'high')"
            )
        case "where":
            return "a condition and two values", "where(x < 10, 'low', 'high')"
        case "clip":
            return "a value and its bounds", "clip(x, 0, 10)"
        case "min" | "max":
            return "two values or more", f"{name}(a, b)"
        case "variable":
            return "a name in quotes", 'variable("x.1")'
    return "one value", f"{name}(x)"
