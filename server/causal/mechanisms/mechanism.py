"""Fitted mechanisms P(node | parents): tables, regressions and rules, with parameter draws.

A draw is one plausible set of parameters, given what was released: it carries the sampling of
persons as well as the privacy noise. Draws of tables are kept as parts per million, whole numbers
that sum to one million a row, so that they have one exact text and every reader computes the same.

All mechanisms of a longitudinal model but those of the first visit are shared: nodes `x[1]`,
`x[2]`, .. have mechanisms of their own names over the same arrays.
"""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Table: TypeAlias = NDArray[np.float64]  # shape (parents' sizes .., size), rows sum to 1
Tables: TypeAlias = NDArray[np.float64]  # shape (draws, parents' sizes .., size)
Parts: TypeAlias = NDArray[np.uint32]  # shape (draws, parents' sizes .., size), rows sum to WHOLE

WHOLE = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """Coefficients of a regression that a table was made of, for people to read."""

    names: tuple[str, ...]  # "(constant)", "age", "stage = III", ..
    estimate: NDArray[np.float64]  # shape (terms,), on the scale of the link
    draws: NDArray[np.float64]  # shape (draws, terms)


@dataclass(frozen=True, slots=True, eq=False)
class Censoring:
    """When observation of a survival node ends, given its parents, whatever the event does.

    Codes are the K intervals; the last one holds those observed to the end as well.
    """

    table: Table  # shape (parents' sizes .., K)
    parts: Parts  # shape (draws, parents' sizes .., K)


@dataclass(frozen=True, slots=True, eq=False)
class TableMechanism:
    """A discrete mechanism; axes follow the parents, then the node itself, in model codes.

    Of a survival node the codes are the intervals of the event, then "none" by the last edge.
    """

    node: str
    parents: tuple[str, ...]
    table: Table
    parts: Parts
    support: NDArray[np.float64]  # estimated persons per parent row, shape (parents' sizes ..)
    terms: Terms | None = None
    censoring: Censoring | None = None

    @property
    def draws(self) -> Tables:
        """Return the parameter draws as probabilities."""
        return self.parts / WHOLE

    @property
    def point_and_draws(self) -> Tables:
        """Return the point estimate followed by the draws, shape (1 + draws, ..)."""
        return np.concatenate([self.table[None], self.draws])


Response: TypeAlias = Literal["gaussian", "logistic", "poisson", "negative-binomial"]


@dataclass(frozen=True, slots=True, eq=False)
class RegressionMechanism:
    """A regression on numbers, with coefficients of its own for every combination of rows.

    The linear predictor is a constant plus slopes times the regressors' values, in their own
    units (a boolean is 0 or 1). It is the mean (gaussian), its logit (logistic) or its logarithm
    (poisson, negative-binomial). Values drawn are clamped to `bounds`.
    """

    node: str
    parents: tuple[str, ...]  # in the order of the graph
    rows: tuple[str, ...]  # parents by whose codes the coefficients differ
    regressors: tuple[str, ...]  # parents whose values enter
    response: Response
    coefficients: NDArray[np.float64]  # shape (1 + draws, rows' sizes .., 1 + regressors)
    scale: NDArray[np.float64]  # shape (1 + draws, rows' sizes ..); see below
    bounds: tuple[float, float]
    support: NDArray[np.float64]  # estimated persons, shape (rows' sizes ..)

    # scale: gaussian, the residual standard deviation; negative-binomial, the dispersion a of
    # Var = mean + a mean^2; 0 for the others. The first of the leading axis is the estimate.


@dataclass(frozen=True, slots=True, eq=False)
class RuleMechanism:
    """A declared function of the parents; it has no parameters (protocol/study/expression.py)."""

    node: str
    parents: tuple[str, ...]
    value: str  # canonical text of the expression


Mechanism: TypeAlias = TableMechanism | RegressionMechanism | RuleMechanism


def draws_of(mechanism: Mechanism) -> int | None:
    """Return the number of parameter draws; None of a rule, which has no parameters."""
    match mechanism:
        case TableMechanism():
            return len(mechanism.parts)
        case RegressionMechanism():
            return len(mechanism.coefficients) - 1
        case RuleMechanism():
            return None


def at_node(mechanism: Mechanism, node: str, parents: tuple[str, ...]) -> Mechanism:
    """Return the mechanism as another node has it, over the same arrays.

    `parents` take the places of the mechanism's own.
    """
    if not isinstance(mechanism, RegressionMechanism):
        return replace(mechanism, node=node, parents=parents)
    name = dict(zip(mechanism.parents, parents, strict=True))
    return replace(
        mechanism,
        node=node,
        parents=parents,
        rows=tuple(name[parent] for parent in mechanism.rows),
        regressors=tuple(name[parent] for parent in mechanism.regressors),
    )


@dataclass(frozen=True, slots=True)
class Caution:
    """Why a reader should doubt one mechanism; shown in the report."""

    node: str
    code: str  # stable, in kebab-case
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Where the values of a binned variable lie inside their bins: a piecewise even spread.

    `edges` are those of the parts of all bins; `shares[b]` are the shares of the parts of bin b
    and sum to 1. Spacing inside a part is the variable's own.
    """

    variable: str
    edges: NDArray[np.float64]  # shape (bins * parts + 1,)
    shares: NDArray[np.float64]  # shape (1 + draws, bins, parts); the first is the estimate


def apportion(tables: Tables) -> Parts:
    """Return `tables` in parts per million, by largest remainder; every row sums to WHOLE.

    Ties go to the lower code. Rows have to be non-negative and to sum to 1 up to rounding.
    """
    size = tables.shape[-1]
    exact = tables.reshape(-1, size) * WHOLE
    parts = np.floor(exact).astype(np.int64)
    short = WHOLE - parts.sum(axis=1, keepdims=True)
    rank = np.argsort(np.argsort(parts - exact, axis=1, kind="stable"), axis=1, kind="stable")
    parts += short // size + (rank < short % size)
    return parts.reshape(tables.shape).astype(np.uint32)
