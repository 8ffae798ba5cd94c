"""Codes and values that functions of other nodes give: rules, policies and lotteries."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.study.expression_arrays import Column, Levels
from server.causal.sampling.nodes import LotteryNode, RuleNode
from server.causal.sampling.noise import Words32

Reals: TypeAlias = NDArray[Any]  # float64, shape (rows,)
Integers: TypeAlias = NDArray[np.signedinteger[Any]]

_CAP = np.uint32(2**32 - 2)


class Computed(NamedTuple):
    """A column that was computed."""

    codes: Integers  # shape (rows,)
    values: Reals | None  # of a node with numbers; NaN is missing


def computed(node: RuleNode, columns: Mapping[str, Column], rows: int) -> Computed:
    """Return what a rule or policy gives for rows of its parents.

    Raises:
        UsageError: a policy gives no result for some row, and its node cannot be missing.
    """
    found = node.function(columns, rows)
    if isinstance(found, Levels):
        return Computed(_checked(node, found.codes_in(node.own_labels or ())), None)
    missing = np.isnan(found)
    number = found if node.bounds is None else np.clip(found, *node.bounds)
    if node.bins is None:
        return Computed(_checked(node, np.where(missing, -1, number != 0).astype(np.int64)), None)
    code = node.bins.codes_of(np.where(missing, node.bins.edges[0], number))
    return Computed(_checked(node, np.where(missing, -1, code)), number)


def _checked(node: RuleNode, codes: Integers) -> Integers:
    """Return the codes, with that of a missing result for -1."""
    if node.policy_of is not None and node.missing_code is None and (codes < 0).any():
        raise UsageError(
            "policy-undefined",
            f"Expected a policy that sets {node.policy_of!r} for everybody, found persons without "
            "a result.",
            "What it reads may be missing, or it divides by zero: say what happens then, for "
            "example where(is_missing(x), 0, x > 5).",
        )
    return np.where(codes < 0, node.missing_code or 0, codes)


def shares_of(node: LotteryNode, columns: Sequence[Mapping[str, Column]], rows: int) -> Reals:
    """Return the probability of each of the node's codes, shape (codes, rows).

    Raises:
        UsageError: weights that are negative, missing or all 0 in some row.
    """
    weights = np.array(
        [function(each, rows) for function, each in zip(node.weights, columns, strict=True)]
    )
    total = weights.sum(axis=0)
    if not (np.isfinite(weights).all() and (weights >= 0).all() and (total > 0).all()):
        raise UsageError(
            "no-shares",
            f"Expected weights of at least 0 with a positive sum for {node.of!r}, found others.",
            "Bound them: clip(p, 0, 1) for one level and 1 - clip(p, 0, 1) for the other.",
        )
    return np.asarray(weights / total)


def drawn_by_lot(node: LotteryNode, shares: Reals, words: Words32) -> Integers:
    """Return the codes that words choose, as from tables (`tables.py`)."""
    bounds = np.clip(np.rint(np.cumsum(shares, axis=0)[:-1] * 2.0**32), 0, 2.0**32 - 1)
    chosen = (np.minimum(words, _CAP) >= bounds).sum(axis=0)
    codes: Integers = np.array(node.codes)[chosen]
    return codes
