"""Hard interventions: do(node = value) as a code, and for numbers the value itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from protocol.errors import UsageError
from protocol.study.problems import nearest
from protocol.study.study import Study
from protocol.study.variables import Numeric, Value, Variable


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a node is set to: its code, and the number if one was given for a numeric node."""

    code: int
    value: float | None


def resolve(study: Study, assignments: Mapping[str, Value]) -> dict[str, Assignment]:
    """Return the codes of levels, booleans or numbers that nodes are set to.

    A number for a numeric node is kept; a bin's label leaves the place inside the bin to chance.

    Raises:
        UsageError: an unknown node, or a value outside its domain.
    """
    return {
        node: _assignment(variable_of(study, node), value) for node, value in assignments.items()
    }


def variable_of(study: Study, node: str) -> Variable:
    """Return the variable of a node.

    Raises:
        UsageError: the study has no such variable.
    """
    if node not in study.variables:
        raise UsageError(
            "unknown-node",
            f"Expected a variable of the study, found {node!r}.",
            f"Write {nearest(node, study.variables)}.",
        )
    return study.variables[node]


def _assignment(variable: Variable, given: Value) -> Assignment:
    value = given.item() if isinstance(given, np.generic) else given  # numpy scalars are common
    if not isinstance(value, str | int | float | Decimal):
        raise UsageError(
            "value-outside-domain",
            f"Expected a level, a boolean or a number, found {type(value).__name__}.",
            f"Write {nearest('', variable.labels)}.",
        )
    code = variable.code_of(value)
    is_number = isinstance(variable, Numeric) and value not in variable.labels
    return Assignment(code, float(Decimal(value)) if is_number else None)
