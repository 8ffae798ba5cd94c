"""The least and the most that a coupling of two distributions can give: optimal transport.

For distributions a and b over the levels of a node under two sets of causes, and gains c(v, w),
the extremes of sum pi(v, w) c(v, w) over all pi >= 0 with margins a and b. Many such problems are
solved at once: in closed form for two levels, where pi(0, 0) is all that is free, else as one
sparse linear program (HiGHS).
"""

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

Reals: TypeAlias = NDArray[Any]  # float64
Side: TypeAlias = Literal["least", "most"]

_PROBLEMS_AT_ONCE = 2_000


def extreme(before: Reals, after: Reals, gains: Reals, side: Side) -> Reals:
    """Return the extreme of every problem, shape (problems,).

    `before` and `after` have shape (problems, levels), `gains` (problems, levels, levels).
    """
    if before.shape[1] == 2:
        return _of_two_levels(before, after, gains, side)
    found = np.empty(len(before))
    for at in range(0, len(before), _PROBLEMS_AT_ONCE):
        part = slice(at, at + _PROBLEMS_AT_ONCE)
        found[part] = _by_program(before[part], after[part], gains[part], side)
    return found


def _of_two_levels(before: Reals, after: Reals, gains: Reals, side: Side) -> Reals:
    """Frechet: pi(0, 0) lies between max(0, a0 + b0 - 1) and min(a0, b0)."""
    a, b = before[:, 0], after[:, 0]
    slope = gains[:, 0, 0] - gains[:, 0, 1] - gains[:, 1, 0] + gains[:, 1, 1]
    low, high = np.maximum(0.0, a + b - 1), np.minimum(a, b)
    take_high = slope > 0 if side == "most" else slope < 0
    both = np.where(take_high, high, low)
    return np.asarray(
        both * gains[:, 0, 0]
        + (a - both) * gains[:, 0, 1]
        + (b - both) * gains[:, 1, 0]
        + (1 - a - b + both) * gains[:, 1, 1]
    )


def _by_program(before: Reals, after: Reals, gains: Reals, side: Side) -> Reals:
    problems, levels = before.shape
    sign = -1.0 if side == "most" else 1.0
    ones, eye = np.ones((1, levels)), np.eye(levels)
    block = np.vstack([np.kron(eye, ones), np.kron(ones, eye)[:-1]])  # sums over w, then over v
    limits: Any = np.concatenate([before, after[:, :-1]], axis=1).ravel()
    goal: Any = sign * gains.ravel()
    blocks: Any = sparse.block_diag([block] * problems, format="csr")
    solved = linprog(goal, A_eq=blocks, b_eq=limits, bounds=(0, None), method="highs")
    if solved.x is None:
        raise AssertionError(f"a transport without a solution: {solved.message}")
    moved = solved.x.reshape(gains.shape)
    return np.asarray((moved * gains).sum(axis=(1, 2)))
