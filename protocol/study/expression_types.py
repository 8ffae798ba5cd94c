"""What a rule computes, against declared variables: a number, a label or a truth, or an error.

Boolean variables are truths, and truths count as the numbers 0 and 1. Only labels of ordinal
variables have an order. A rule that lets a missing parent through needs a target with MISSING.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from protocol.study.expression import (
    COMPARISONS,
    JUNCTIONS,
    ORDERINGS,
    Apply,
    Expression,
    Name,
    Node,
    Number,
    Text,
    Truth,
    text_of,
)
from protocol.study.expression_algebra import Kind
from protocol.study.problems import Problem, listed, nearest, quote, refuse_any
from protocol.study.quantities import MISSING, OTHER
from protocol.study.variables import Variable

KINDS: Mapping[str, Kind] = {  # of variables that a rule may read or compute
    "boolean": Kind.TRUTH,
    "missingness": Kind.TRUTH,
    "categorical": Kind.LEVEL,
    "ordinal": Kind.LEVEL,
    "numeric": Kind.NUMBER,
    "count": Kind.NUMBER,
}

_WORDS = {Kind.NUMBER: "a number", Kind.LEVEL: "a label", Kind.TRUTH: "a condition"}


@dataclass(frozen=True, slots=True)
class RuleType:
    """What a part of a rule computes.

    `labels` are all that a label may be; `order` is their rising order if they have one, and
    `constant` says that it is a label as written. `binary` numbers are 0 or 1. `missing` names
    the parents whose missing values make the part missing.
    """

    kind: Kind
    labels: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    constant: bool = False
    binary: bool = False
    missing: frozenset[str] = frozenset()


def check_rule(expression: Expression, parents: Mapping[str, Variable], target: Variable) -> None:
    """Check that the rule reads exactly its parents, makes sense, and fits its target.

    Raises:
        StudyProblems: all that is wrong with it.
    """
    refuse_any(rule_problems(expression, parents, target))


def rule_problems(
    expression: Expression, parents: Mapping[str, Variable], target: Variable
) -> list[Problem]:
    """Return all that is wrong with the rule of `target`, whose parents in the graph are given."""
    typing = _Typing(parents)
    result = typing.of(expression.root, frozenset())
    unread = sorted(set(parents) - expression.names)
    typing.problems += [
        Problem((), f"a rule that reads its parent {name!r}", "none", "it in, or remove the arrow")
        for name in unread
    ]
    if result is not None and not typing.problems:
        typing.problems += _misfits(result, target)
    return list(dict.fromkeys(typing.problems))


def _misfits(result: RuleType, target: Variable) -> list[Problem]:
    wanted = KINDS.get(target.kind)
    if wanted is None:
        known = "a numeric, count, boolean, categorical or ordinal variable"
        return [Problem((), f"{known} for a rule", f"a {target.kind} one", "another mechanism")]
    if result.kind is not wanted and not (wanted is Kind.TRUTH and result.binary):
        expected = f"{_WORDS[wanted]} for a {target.kind} variable"
        return [Problem((), expected, _WORDS[result.kind], _conversion(result.kind, wanted))]
    known_labels = [label for label in target.labels if label != MISSING]
    problems = [
        Problem((), "labels of the variable", quote(label), nearest(label, known_labels))
        for label in result.labels
        if label not in known_labels
    ]
    if result.missing and not target.missing:
        name = min(result.missing)
        remedy = f"missing = true beside it, or where(is_missing({name}), .., ..) in the rule"
        expected = f"a variable that may be missing where {listed(sorted(result.missing))} is"
        problems.append(Problem((), expected, "one without missing = true", remedy))
    return problems


def _conversion(found: Kind, wanted: Kind) -> str:
    match found, wanted:
        case Kind.NUMBER, Kind.TRUTH:
            return "a comparison such as x > 0"
        case Kind.TRUTH, Kind.NUMBER:
            return "where(condition, 1, 0)"
        case _, Kind.LEVEL:
            return "cases(x < 10, 'low', x < 20, 'mid', 'high')"
    return "a comparison such as x == 'low'"


class _Typing:
    """Finds the type of every part and collects what is wrong; None where it cannot tell."""

    def __init__(self, parents: Mapping[str, Variable]) -> None:
        self._parents = parents
        self.problems: list[Problem] = []

    def of(self, node: Node, present: frozenset[str]) -> RuleType | None:
        """Return the type of a part that is used only where the parents `present` are."""
        match node:
            case Number(value):
                return RuleType(Kind.NUMBER, binary=value in (0, 1))
            case Truth():
                return RuleType(Kind.TRUTH)
            case Text(value):
                return RuleType(Kind.LEVEL, (value,), constant=True)
            case Name(name):
                return self._parent(name, present)
        return self._application(node, present)

    def _application(self, node: Apply, present: frozenset[str]) -> RuleType | None:
        match node.operation:
            case "cases":
                return self._cases(node, present)
            case "and" | "or":
                return self._junction(node, present)
        types = [self.of(part, present) for part in node.operands]
        if node.operation == "is_missing":
            return RuleType(Kind.TRUTH)
        missing = _missing(types)
        if node.operation == "not":
            self._demand(Kind.TRUTH, node.operands[0], types[0])
            return RuleType(Kind.TRUTH, missing=missing)
        if node.operation in (*COMPARISONS, "in"):
            return self._comparison(node, types)
        for part, type_ in zip(node.operands, types, strict=True):
            self._demand(Kind.NUMBER, part, type_)
        return RuleType(Kind.NUMBER, missing=missing)

    def _parent(self, name: str, present: frozenset[str]) -> RuleType | None:
        variable = self._parents.get(name)
        if variable is None:
            known = sorted(self._parents)
            remedy = nearest(name, known) if known else "a rule without names"
            self._found("parents of the variable in the graph", quote(name), remedy)
            return None
        kind = KINDS.get(variable.kind)
        if kind is None:
            found = f"{name!r}, a {variable.kind} variable"
            self._found("numbers, labels and truths in a rule", found, "other parents")
            return None
        missing = frozenset({name} if variable.missing and name not in present else ())
        if kind is not Kind.LEVEL:
            return RuleType(kind, missing=missing)
        labels = tuple(label for label in variable.labels if label != MISSING)
        order = variable.own_labels if variable.kind == "ordinal" else ()
        return RuleType(kind, labels, order, missing=missing)

    def _cases(self, node: Apply, present: frozenset[str]) -> RuleType | None:
        *arms, default = node.operands
        values: list[RuleType | None] = []
        conditions: list[RuleType | None] = []
        for condition, value in zip(arms[::2], arms[1::2], strict=True):
            conditions.append(self.of(condition, present))
            self._demand(Kind.TRUTH, condition, conditions[-1])
            values.append(self.of(value, present | _present_if(condition, truth=True)))
            present |= _present_if(condition, truth=False)
        values.append(self.of(default, present))
        return self._common(node, values, _missing([*conditions, *values]))

    def _common(
        self, node: Apply, values: Iterable[RuleType | None], missing: frozenset[str]
    ) -> RuleType | None:
        """Return the type of which all values of `cases` are."""
        known = [value for value in values if value is not None]
        kinds = {value.kind for value in known}
        if Kind.LEVEL in kinds and len(kinds) > 1:
            expected = "labels in all cases, or numbers in all"
            self._found(expected, quote(text_of(node)), "where(c, 'low', 'high') or where(c, 0, 1)")
            return None
        if not kinds:
            return None
        if kinds == {Kind.LEVEL}:
            labels = tuple(dict.fromkeys(label for value in known for label in value.labels))
            order = known[0].order if len({value.order for value in known}) == 1 else ()
            return RuleType(Kind.LEVEL, labels, order, missing=missing)
        binary = all(value.binary or value.kind is Kind.TRUTH for value in known)
        kind = Kind.TRUTH if kinds == {Kind.TRUTH} else Kind.NUMBER
        return RuleType(kind, binary=binary, missing=missing)

    def _junction(self, node: Apply, present: frozenset[str]) -> RuleType:
        """Return the type of and / or, where each part counts only if the others do not decide."""
        types = []
        for place, part in enumerate(node.operands):
            others = (*node.operands[:place], *node.operands[place + 1 :])
            undecided = [_present_if(other, truth=node.operation == "and") for other in others]
            types.append(self.of(part, present.union(*undecided)))
            self._demand(Kind.TRUTH, part, types[-1])
        return RuleType(Kind.TRUTH, missing=_missing(types))

    def _comparison(self, node: Apply, types: list[RuleType | None]) -> RuleType:
        first, *others = types
        for part, other in zip(node.operands[1:], others, strict=True):
            if first is not None and other is not None:
                self._pair(node, (node.operands[0], first), (part, other))
        missing = _missing(types)
        if node.operation in ORDERINGS:  # OTHER is a label without a rank
            missing |= {
                name
                for name, type_ in zip(map(text_of, node.operands), types, strict=True)
                if type_ is not None and OTHER in type_.labels
            }
        return RuleType(Kind.TRUTH, missing=missing)

    def _pair(self, node: Apply, left: tuple[Node, RuleType], right: tuple[Node, RuleType]) -> None:
        (a, first), (b, second) = left, right
        levels = [type_.kind is Kind.LEVEL for type_ in (first, second)]
        if not any(levels):
            return
        if not all(levels):
            label, number = (a, b) if levels[0] else (b, a)
            found = f"{quote(text_of(label))} against {quote(text_of(number))}"
            self._found("a label against a label, or a number against a number", found, "'low'")
        elif first.constant and second.constant:
            found = f"{quote(text_of(node))}"
            self._found("a variable on one side of a comparison", found, "x == 'low'")
        elif node.operation in ORDERINGS:
            self._ordering(node, first, second)
        elif not set(first.labels) & set(second.labels):
            self._unknown_label(first, second, node)

    def _ordering(self, node: Apply, first: RuleType, second: RuleType) -> None:
        whole, part = (second, first) if first.constant else (first, second)
        if not whole.order:
            remedy = "kind = \"ordinal\", or x in ('low', 'mid')"
            self._found("an ordinal variable beside < or >", quote(text_of(node)), remedy)
        elif part.constant and part.labels[0] not in whole.order:
            self._unknown_label(replace(whole, labels=whole.order), part, node)
        elif not part.constant and part.order != whole.order:
            expected = "ordinal variables with the same levels beside < or >"
            self._found(expected, quote(text_of(node)), "a comparison with a label")

    def _unknown_label(self, first: RuleType, second: RuleType, node: Apply) -> None:
        whole, part = (second, first) if first.constant else (first, second)
        if not part.constant:
            expected = "variables with labels in common"
            self._found(expected, quote(text_of(node)), "a comparison with a label")
            return
        label = part.labels[0]
        remedy = "is_missing(x)" if label == MISSING else nearest(label, whole.labels)
        self._found(f"a label of the variable in {quote(text_of(node))}", quote(label), remedy)

    def _demand(self, kind: Kind, part: Node, type_: RuleType | None) -> None:
        """Find a problem unless the part is of the kind; a truth is a number too."""
        if type_ is None or type_.kind is kind or (kind, type_.kind) == (Kind.NUMBER, Kind.TRUTH):
            return
        found = f"{_WORDS[type_.kind]}, {quote(text_of(part))}"
        self._found(_WORDS[kind], found, _conversion(type_.kind, kind))

    def _found(self, expected: str, found: str, remedy: str) -> None:
        self.problems.append(Problem((), expected, found, remedy))


def _missing(types: Iterable[RuleType | None]) -> frozenset[str]:
    return frozenset().union(*(type_.missing for type_ in types if type_ is not None))


def _present_if(node: Node, *, truth: bool) -> frozenset[str]:
    """Return the parents that cannot be missing where the condition is true, or where false."""
    match node:
        case Apply("is_missing", (Name(name),)):
            return frozenset() if truth else frozenset({name})
        case Apply("not", (inner,)):
            return _present_if(inner, truth=not truth)
        case Apply(operation, operands) if operation == JUNCTIONS[0 if truth else 1]:
            return frozenset().union(*(_present_if(part, truth=truth) for part in operands))
    return frozenset()
