"""A rule of a study as a tree, and its one canonical text.

A rule computes a variable from its parents, row by row. `expression_reader` makes the tree from
text, `expression_types` checks it against the declared variables, and `expression_algebra`
computes it, in numpy or in a site's query engine. A tree holds numbers, labels, names and the
operations listed here, and nothing else: so a rule can read nothing but its parents.
"""

import json
import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import ClassVar, NamedTuple, TypeAlias

from protocol.study.quantities import decimal_text

MAX_RULE_CHARACTERS = 2000  # of a text as written, and of its canonical form
MAX_DEPTH = 32  # operations inside one another; query engines translate by recursion
MAX_PARTS = 1000

ARITHMETIC = ("+", "-", "*", "/", "//", "%", "**")
ORDERINGS = ("<", "<=", ">", ">=")
COMPARISONS = ("==", "!=", *ORDERINGS)
FUNCTIONS = ("abs", "floor", "ceil", "round", "sqrt", "exp", "log")
EXTREMES = ("min", "max")
JUNCTIONS = ("and", "or")

_PLAIN_NAME = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(?:\[(?:t|t-1|[0-9]+)\])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Number:
    """An exact number."""

    value: Decimal
    size: ClassVar[int] = 1
    depth: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Truth:
    """True or False."""

    value: bool
    size: ClassVar[int] = 1
    depth: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Text:
    """A label of a categorical or ordinal variable."""

    value: str
    size: ClassVar[int] = 1
    depth: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Name:
    """A parent: a variable of the study, at a visit where the study has them."""

    name: str
    size: ClassVar[int] = 1
    depth: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Apply:
    """An operation on its operands.

    Operations are those listed above, `negative`, `not`, `in` (value, candidates ..),
    `is_missing`, and `cases` (condition, value, condition, value, .., default). `size` counts
    parts, those of the value of `in` once per candidate, as they are computed; `depth` takes every
    case of `cases` as inside the one before it, and a comparison twice: it takes an engine as much
    to write.
    """

    operation: str
    operands: "tuple[Node, ...]"
    size: int = field(init=False, compare=False)
    depth: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        parts = [Extent(part.size, part.depth) for part in self.operands]
        found = combined(self.operation, parts)
        object.__setattr__(self, "size", found.size)
        object.__setattr__(self, "depth", found.depth)


class Extent(NamedTuple):
    """How large an expression is: its parts, and how many of them are inside one another."""

    size: int
    depth: int


ONE_PART = Extent(1, 1)


def combined(operation: str, operands: Sequence[Extent]) -> Extent:
    """Return the extent of an operation on operands; see `Apply`."""
    cases = operation == "cases"
    below = (part.depth + at // 2 * cases for at, part in enumerate(operands))
    weight = 2 if operation in COMPARISONS else 1
    size = 1 + sum(part.size for part in operands)
    if operation == "in":
        size += operands[0].size * (len(operands) - 2)
    return Extent(size, weight + max(below))


def extent_of(node: "Node", reads: Mapping[str, Extent]) -> Extent:
    """Return the extent of an expression in which a name stands for what is in `reads`."""
    match node:
        case Name(name):
            return reads.get(name, ONE_PART)
        case Apply(operation, operands):
            return combined(operation, [extent_of(part, reads) for part in operands])
    return ONE_PART


Node: TypeAlias = Number | Truth | Text | Name | Apply


@dataclass(frozen=True, slots=True)
class Expression:
    """A rule. Two are equal if their canonical texts are; `parse_rule(text)` gives it again."""

    text: str
    root: Node = field(compare=False, repr=False)

    @property
    def names(self) -> frozenset[str]:
        """Return the parents that the rule reads."""
        return frozenset(_names(self.root))


def expression_of(root: Node) -> Expression:
    """Return the rule with this tree."""
    return Expression(text_of(root), root)


def text_of(node: Node) -> str:
    """Return the canonical text of a part: parentheses around every infix operand, and no more."""
    match node:
        case Number(value):
            return decimal_text(value)
        case Truth(value):
            return str(value)
        case Text(value):
            return json.dumps(value, ensure_ascii=False)
        case Name(name):
            return name if _is_plain(name) else f"variable({json.dumps(name)})"
        case Apply(operation, operands):
            return _application(operation, operands)


def _application(operation: str, operands: tuple[Node, ...]) -> str:
    if operation in (*ARITHMETIC, *COMPARISONS, *JUNCTIONS):
        return f" {operation} ".join(map(_enclosed, operands))
    match operation:
        case "negative":
            return f"-{_enclosed(operands[0])}"
        case "not":
            return f"not {_enclosed(operands[0])}"
        case "in":
            candidates = ", ".join(map(text_of, operands[1:])) + "," * (len(operands) == 2)
            return f"{_enclosed(operands[0])} in ({candidates})"
    function = "where" if operation == "cases" and len(operands) == 3 else operation
    return f"{function}({', '.join(map(text_of, operands))})"


def _enclosed(node: Node) -> str:
    called = (*FUNCTIONS, *EXTREMES, "is_missing", "cases")
    plain = node.operation in called if isinstance(node, Apply) else not _is_negative(node)
    return text_of(node) if plain else f"({text_of(node)})"


def _is_negative(node: Node) -> bool:
    return isinstance(node, Number) and node.value < 0


def _is_plain(name: str) -> bool:
    found = _PLAIN_NAME.fullmatch(name)
    return found is not None and not any(map(keyword.iskeyword, found[1].split(".")))


def _names(node: Node) -> set[str]:
    match node:
        case Name(name):
            return {name}
        case Apply(operands=operands):
            return set().union(*map(_names, operands))
    return set()
