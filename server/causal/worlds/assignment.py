"""Hard interventions: do(node = value) as a code, and for numbers the value itself."""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from protocol.errors import UsageError
from protocol.study.problems import nearest, quote
from protocol.study.quantities import decimal_text
from protocol.study.study import Study
from protocol.study.variables import Count, Numeric, Survival, Value, Variable


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a node is set to: its code, and the number if one was given for a node with numbers."""

    code: int
    value: float | None


def assignment_of(study: Study, node: str, given: Value) -> Assignment:
    """Return what a node is set to, given a level, a boolean or a number.

    A number for a node with numbers is kept; a bin's label leaves the place inside it to chance.

    Raises:
        UsageError: a value outside its domain.
    """
    variable, labels = study.variable(node), study.model_labels(node)
    value = given.item() if isinstance(given, np.generic) else given  # numpy scalars are common
    if not isinstance(value, str | int | float | Decimal):
        raise _outside(study, node, type(value).__name__, "")
    if isinstance(value, str) and value in labels:
        return Assignment(labels.index(value), None)
    code = _code(variable, value)
    if code is None or code >= len(labels):
        raise _outside(study, node, quote(value), str(value))
    has_numbers = isinstance(variable, Numeric | Count)
    return Assignment(code, float(Decimal(value)) if has_numbers else None)


def _code(variable: Variable, value: str | float | Decimal) -> int | None:
    """Return the code that a value stands for; None outside of the domain.

    A time to an event is set by its interval alone: measured codes say how observation ended.
    """
    if isinstance(variable, Survival):
        return None
    try:
        code = variable.code_of(value)
    except UsageError:
        return None
    return None if isinstance(variable, Count) and Decimal(value) % 1 else code


def _outside(study: Study, node: str, found: str, near: str) -> UsageError:
    variable, numbers = study.variable(node), ""
    if isinstance(variable, Numeric | Count):
        low, high = (decimal_text(variable.edges[end]) for end in (0, -1))
        whole = "whole " if isinstance(variable, Count) else ""
        numbers = f"a {whole}number from {low} to {high}, or "
    return UsageError(
        "value-outside-domain",
        f"Expected a value of the declared domain of {node!r}, found {found}.",
        f"Write {numbers}{nearest(near, study.model_labels(node))}.",
    )
