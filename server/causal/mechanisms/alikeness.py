"""Whether two fits of the same sum are the same, up to how machines round.

Other BLAS kernels were seen to move a probability by 1e-14 and no draw at all.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.causal.mechanisms.mechanism import (
    Censoring,
    Mechanism,
    Placement,
    RegressionMechanism,
    RuleMechanism,
    TableMechanism,
    Terms,
)

_TABLE_TOLERANCE = 1e-9  # of a probability
_SUPPORT_TOLERANCE = 1e-6  # of a number of persons, relative
_NUMBER_TOLERANCE = 1e-6  # of a coefficient, relative to the largest of its mechanism
_PART_TOLERANCE = 2  # parts per million, where the rounding of a draw fell the other way

Reals: TypeAlias = NDArray[Any]


def alike(one: Mechanism, other: Mechanism) -> bool:
    """Return whether two mechanisms are the same, up to rounding."""
    match one, other:
        case TableMechanism(), TableMechanism():
            return (
                (one.node, one.parents) == (other.node, other.parents)
                and _close(one.table, other.table)
                and _same_parts(one.parts, other.parts)
                and _same_support(one.support, other.support)
                and _alike_terms(one.terms, other.terms)
                and _alike_censoring(one.censoring, other.censoring)
            )
        case RegressionMechanism(), RegressionMechanism():
            return (
                _outline(one) == _outline(other)
                and _near(one.coefficients, other.coefficients)
                and _near(one.scale, other.scale)
                and _same_support(one.support, other.support)
            )
        case RuleMechanism(), RuleMechanism():
            return _rule(one) == _rule(other)
    return False


def alike_placements(one: Mapping[str, Placement], other: Mapping[str, Placement]) -> bool:
    """Return whether two models place values alike, up to rounding."""
    return set(one) == set(other) and all(
        np.array_equal(one[name].edges, other[name].edges)
        and _close(one[name].shares, other[name].shares)
        for name in one
    )


def _outline(mechanism: RegressionMechanism) -> tuple[object, ...]:
    return (
        *(mechanism.node, mechanism.parents, mechanism.rows, mechanism.regressors),
        *(mechanism.response, mechanism.bounds),
    )


def _rule(mechanism: RuleMechanism) -> tuple[object, ...]:
    return mechanism.node, mechanism.parents, mechanism.value


def _alike_terms(one: Terms | None, other: Terms | None) -> bool:
    if one is None or other is None:
        return one is other
    return (
        one.names == other.names
        and _near(one.estimate, other.estimate)
        and _near(one.draws, other.draws)
    )


def _alike_censoring(one: Censoring | None, other: Censoring | None) -> bool:
    if one is None or other is None:
        return one is other
    return _close(one.table, other.table) and _same_parts(one.parts, other.parts)


def _close(one: Reals, other: Reals) -> bool:
    return one.shape == other.shape and np.allclose(one, other, rtol=0, atol=_TABLE_TOLERANCE)


def _near(one: Reals, other: Reals) -> bool:
    if one.shape != other.shape:
        return False
    largest = float(np.abs(one).max(initial=0.0))
    return np.allclose(one, other, rtol=0, atol=_NUMBER_TOLERANCE * max(largest, 1e-300))


def _same_parts(one: Reals, other: Reals) -> bool:
    if one.shape != other.shape:
        return False
    return bool((np.abs(one.astype(np.int64) - other.astype(np.int64)) <= _PART_TOLERANCE).all())


def _same_support(one: Reals, other: Reals) -> bool:
    return one.shape == other.shape and np.allclose(one, other, rtol=_SUPPORT_TOLERANCE, atol=1e-6)
