"""Policies from text: rules that are checked against the study before anybody is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

import numpy as np

from protocol.canonical import Json
from protocol.errors import UsageError
from protocol.study.expression import Expression
from protocol.study.expression_arrays import Column, evaluate
from protocol.study.expression_reader import parse_rule
from protocol.study.expression_types import rule_problems
from protocol.study.families import visit_of
from protocol.study.problems import Problem, StudyProblems, nearest, quote
from protocol.study.study import Study
from protocol.study.time import BEFORE, NOW, base_name
from protocol.study.variables import Boolean, Numeric, Variable
from server.causal.worlds.interventions import Randomised, Share
from server.causal.worlds.settings import Drawn, Law

# What weights and scores are checked as: any number, or a condition, which counts for 0 or 1.
_NUMBERS = (
    Numeric(kind="numeric", edges=(Decimal(0), Decimal(1), Decimal(2))),
    Boolean(kind="boolean"),
)
_ROUNDING = 1e-9  # by which probabilities that people write may miss 1


@dataclass(frozen=True, slots=True)
class RuleFunction:
    """A rule as a function of columns."""

    expression: Expression

    def __call__(self, columns: Mapping[str, Column], rows: int) -> Column:
        """Return what the rule computes."""
        return evaluate(self.expression, columns, rows)


@dataclass(frozen=True, slots=True)
class ConstantFunction:
    """The same number for everybody."""

    value: float

    def __call__(self, columns: Mapping[str, Column], rows: int) -> Column:  # noqa: ARG002
        """Return the number, once a row."""
        return np.full(rows, self.value)


def policy_law(study: Study, node: str, text: str) -> Law:
    """Return the law of a policy.

    Raises:
        UsageError: a rule that cannot be read, names something unknown, or does not fit the node.
    """
    return _law(study, node, text, (shown_variable(study, node),))


def score_law(study: Study, node: str, text: str) -> Law:
    """Return the law of a score by which persons are chosen for `node`; any number.

    Raises:
        UsageError: as `policy_law`.
    """
    return _law(study, node, text, _NUMBERS)


def lottery(study: Study, node: str, given: Randomised) -> Drawn:
    """Return a node's lottery.

    Raises:
        UsageError: an unknown level, probabilities below 0 or that do not sum to 1, or a rule
            that does not compute a number.
    """
    shares = _by_level(study, node, given)
    labels = study.model_labels(node)
    for level in shares:
        if level not in labels:
            raise _invalid(node, f"levels of {node!r}", quote(level), nearest(level, labels))
    numbers = [share for share in shares.values() if not isinstance(share, str)]
    if any(not 0 <= number <= 1 for number in numbers):
        raise _invalid(node, "probabilities from 0 to 1", "others", "shares of persons")
    if len(numbers) == len(shares) and abs(sum(numbers) - 1) > _ROUNDING:
        found = f"{sum(numbers):g}"
        raise _invalid(node, "probabilities that sum to 1", found, "the one that is missing")
    weights = {labels.index(level): _weight(study, node, share) for level, share in shares.items()}
    shown: dict[str, Json] = {level: str(share) for level, share in shares.items()}
    return Drawn(dict(sorted(weights.items())), {"kind": "randomised", "shares": shown})


def _by_level(study: Study, node: str, given: Randomised) -> Mapping[str, Share]:
    """Return the shares of levels; one alone is that of a boolean's 1."""
    if isinstance(given.shares, Mapping):
        return {str(level): share for level, share in given.shares.items()}
    if not isinstance(study.variable(node), Boolean):
        expected = f"a probability for each level of {node!r}, which is not boolean"
        raise _invalid(node, expected, quote(given.shares), "{'level': 0.5, ...}")
    if isinstance(given.shares, str):
        return {"0": f"1 - ({given.shares})", "1": given.shares}
    return {"0": 1 - given.shares, "1": given.shares}


def _weight(study: Study, node: str, share: Share) -> Law:
    if isinstance(share, str):
        return _law(study, node, share, _NUMBERS)
    return Law(ConstantFunction(float(share)), {}, {})


def _law(study: Study, node: str, text: str, targets: Sequence[Variable]) -> Law:
    """Return the law of a rule that fits one of the targets."""
    try:
        expression = _parsed(text)
        reads = {name: node_read(study, node, name) for name in sorted(expression.names)}
        parents = {name: shown_variable(study, read) for name, read in reads.items()}
        found = [rule_problems(expression, parents, target) for target in targets]
        problems = found[0] if all(found) else []
    except StudyProblems as refusal:
        problems = list(refusal.problems)
    if problems:
        first: Problem = problems[0]
        raise _invalid(node, first.expected, first.found, first.remedy)
    document = {"kind": "policy", "value": expression.text}
    return Law(RuleFunction(expression), reads, document)


@lru_cache(maxsize=256)
def _parsed(text: str) -> Expression:
    return parse_rule(text)


def shown_variable(study: Study, node: str) -> Variable:
    """Return the variable of a node as a policy sees it: one that is hidden is never missing."""
    variable = study.variable(node)
    if base_name(node) in study.hidden:
        return variable.model_copy(update={"missing": False})
    return variable


def node_read(study: Study, node: str, name: str) -> str:
    """Return the node that a policy of `node` reads under a name: x[t] is x at its own visit.

    Raises:
        UsageError: there is none.
    """
    visit = visit_of(node)
    found = name
    for index, lag in ((NOW, 0), (BEFORE, 1)):
        if visit is not None and name.endswith(index):
            found = f"{base_name(name)}[{visit - lag}]"
    if found.endswith("[-1]"):
        raise UsageError(
            "policy-before-first-visit",
            f"Expected a policy of {node!r} that reads no visit before the first, found {name!r}.",
            f"Set {node!r} by itself, beside the policy of {base_name(node)!r}.",
        )
    if found not in study.causal_graph.nodes:
        known = study.causal_graph.nodes
        beside = f"{base_name(name)}{NOW}" if visit is not None else ""
        if base_name(name) == name and name in study.variables:  # at which visit?
            raise _invalid(node, "a visit of what it reads", quote(name), quote(beside))
        raise UsageError(
            "unknown-node",
            f"Expected variables of the study in the policy of {node!r}, found {name!r}.",
            f"Write {nearest(name, known)}.",
        )
    return found


def _invalid(node: str, expected: str, found: str, remedy: str) -> UsageError:
    return UsageError(
        "policy-invalid",
        f"Expected {expected} in the intervention on {node!r}, found {found}.",
        f"Write {remedy}.",
    )
