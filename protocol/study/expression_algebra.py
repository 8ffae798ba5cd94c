"""How a rule is computed, whatever computes it: numpy arrays here, a query engine at a site.

One walk over the tree turns a rule into a few operations on columns, an `Algebra` does them.

Missing values. What depends on a missing value is missing: arithmetic, functions, comparisons,
and a choice whose condition is missing. `and` is false as soon as one side is false, `or` true
as soon as one side is true (Kleene 1938); a value that `where` or `cases` does not choose counts
for nothing; `is_missing` is never missing. A number that is not finite is missing: division by
zero, the logarithm of 0, the root of -1, overflow.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Generic, Protocol, TypeVar

from protocol.study.expression import (
    ARITHMETIC,
    COMPARISONS,
    EXTREMES,
    FUNCTIONS,
    JUNCTIONS,
    ORDERINGS,
    Expression,
    Name,
    Node,
    Number,
    Text,
    Truth,
)
from protocol.study.quantities import OTHER

A = TypeVar("A")  # the columns of an algebra

# What an algebra can do, with columns of numbers, truths and codes. `choose` takes a truth, and
# two columns of one kind; comparisons take numbers, or codes.
OPERATIONS = (
    *ARITHMETIC,
    *COMPARISONS,
    *FUNCTIONS,
    *EXTREMES,
    *JUNCTIONS,
    "negative",
    "not",
    "choose",
    "is_missing",
    "as_number",
    "as_truth",
)


class Kind(Enum):
    """What a column holds."""

    NUMBER = "number"
    LEVEL = "level"
    TRUTH = "truth"


@dataclass(frozen=True, slots=True)
class Operand(Generic[A]):
    """A column: numbers, truths, or codes of `labels`."""

    kind: Kind
    column: A
    labels: tuple[str, ...] = ()
    constant: bool = False


class Algebra(Protocol[A]):
    """Columns of one engine; a column of one row stands for all rows."""

    def number(self, value: Decimal) -> A:
        """Return the float64 that is nearest to `value`."""
        ...

    def code(self, value: int) -> A:
        """Return a code, -1 for missing."""
        ...

    def recoded(self, codes: A, table: Sequence[int]) -> A:
        """Return `table` at the codes; -1 in the table is missing, missing codes stay so."""
        ...

    def apply(self, operation: str, *columns: A) -> A:
        """Return one of OPERATIONS on columns.

        `a // b` is the floor of `a / b`. `a % b` is for a constant b and has its sign. `round`
        takes halves away from zero. Ordered comparisons take codes for ranks.
        """
        ...


def translated(
    expression: Expression, parents: Mapping[str, Operand[A]], algebra: Algebra[A]
) -> Operand[A]:
    """Return what the rule computes from columns of its parents.

    Preconditions: `check_rule` has nothing against it; labels of a parent are in the study's
    order, without MISSING.
    """
    return _Walk(parents, algebra).of(expression.root)


class _Walk(Generic[A]):
    def __init__(self, parents: Mapping[str, Operand[A]], algebra: Algebra[A]) -> None:
        self._parents = parents
        self._algebra = algebra

    def of(self, node: Node) -> Operand[A]:
        match node:
            case Number(value):
                return Operand(Kind.NUMBER, self._algebra.number(value))
            case Truth(value):
                return self._truth("as_truth", self._algebra.number(Decimal(value)))
            case Text(value):
                return Operand(Kind.LEVEL, self._algebra.code(0), (value,), constant=True)
            case Name(name):
                return self._parents[name]
        return self._application(node.operation, [self.of(part) for part in node.operands])

    def _application(self, operation: str, operands: Sequence[Operand[A]]) -> Operand[A]:
        if operation in COMPARISONS:
            return self._compared(operation, *operands)
        if operation in ("is_missing", "not", "in", *JUNCTIONS):
            return self._decision(operation, operands)
        match operation:
            case "cases":
                return self._cases(operands)
            case "min" | "max":
                return self._folded(operation, map(self._as_number, operands))
        columns = [self._as_number(operand).column for operand in operands]
        return Operand(Kind.NUMBER, self._algebra.apply(operation, *columns))

    def _decision(self, operation: str, operands: Sequence[Operand[A]]) -> Operand[A]:
        match operation:
            case "is_missing":
                return self._truth("is_missing", operands[0].column)
            case "not":
                return self._truth("not", self._as_truth(operands[0]).column)
            case "in":
                found = [self._compared("==", operands[0], other) for other in operands[1:]]
                return self._folded("or", found)
        return self._folded(operation, map(self._as_truth, operands))

    def _compared(self, operation: str, left: Operand[A], right: Operand[A]) -> Operand[A]:
        if left.kind is not Kind.LEVEL:
            left, right = self._as_number(left), self._as_number(right)
        elif operation in ORDERINGS:
            whole = right if left.constant else left
            ranked = tuple(label for label in whole.labels if label != OTHER)
            left, right = self._recoded(left, ranked), self._recoded(right, ranked)
        else:
            left, right = self._in_common([left, right])
        return self._truth(operation, left.column, right.column)

    def _cases(self, operands: Sequence[Operand[A]]) -> Operand[A]:
        *arms, default = operands
        values = self._in_common([*arms[1::2], default])
        chosen = values[-1]
        for condition, value in zip(arms[-2::-2], values[-2::-1], strict=True):
            asked = self._as_truth(condition).column
            column = self._algebra.apply("choose", asked, value.column, chosen.column)
            chosen = Operand(value.kind, column, value.labels)
        return chosen

    def _in_common(self, operands: Sequence[Operand[A]]) -> list[Operand[A]]:
        """Return the operands as columns of one kind, with the same labels."""
        kinds = {operand.kind for operand in operands}
        if kinds == {Kind.LEVEL}:
            labels = (label for operand in operands for label in operand.labels)
            recoded = partial(self._recoded, labels=tuple(dict.fromkeys(labels)))
            return list(map(recoded, operands))
        return list(operands) if kinds == {Kind.TRUTH} else list(map(self._as_number, operands))

    def _recoded(self, operand: Operand[A], labels: tuple[str, ...]) -> Operand[A]:
        """Return the column as codes of `labels`; a label that is not among them is missing."""
        if operand.labels == labels:
            return operand
        codes = recoding(operand.labels, labels)
        if operand.constant:
            return Operand(Kind.LEVEL, self._algebra.code(codes[0]), labels)
        return Operand(Kind.LEVEL, self._algebra.recoded(operand.column, codes), labels)

    def _folded(self, operation: str, operands: Iterable[Operand[A]]) -> Operand[A]:
        """Return an associative operation on operands, in pairs, so that it is not deep."""
        layer = list(operands)
        while len(layer) > 1:
            pairs = zip(layer[::2], layer[1::2], strict=False)
            columns = (self._algebra.apply(operation, a.column, b.column) for a, b in pairs)
            odd = layer[-1:] if len(layer) % 2 else []
            layer = [Operand(layer[0].kind, column) for column in columns] + odd
        return layer[0]

    def _truth(self, operation: str, *columns: A) -> Operand[A]:
        return Operand(Kind.TRUTH, self._algebra.apply(operation, *columns))

    def _as_number(self, operand: Operand[A]) -> Operand[A]:
        if operand.kind is Kind.NUMBER:
            return operand
        return Operand(Kind.NUMBER, self._algebra.apply("as_number", operand.column))

    def _as_truth(self, operand: Operand[A]) -> Operand[A]:
        return operand if operand.kind is Kind.TRUTH else self._truth("as_truth", operand.column)


def recoding(labels: Sequence[str], onto: Sequence[str]) -> tuple[int, ...]:
    """Return for each of `labels` its place in `onto`, -1 where it has none."""
    places = {label: place for place, label in enumerate(onto)}
    return tuple(places.get(label, -1) for label in labels)
