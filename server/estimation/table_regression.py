"""Logistic, Poisson and negative binomial mechanisms from the noisy table of a family.

The regression is post-processing of the table: few coefficients take the place of a row's own
shares, so that noise averages out over rows. Notation, for rows r with x_r the parents' numbers
and indicators, z_ry the noisy counts, n_r the totals, p_y(x_r b) the shares of the codes:

    g_j = sum_r x_rj sum_y s_y (z_ry - n_r p_y(x_r b))        s_y scores of the codes, centred
    E[g] = 0 at the true b, whatever the bins: counts in a bin have the bin's probability
    Cov g = sum_r x_r x_r' (n_r Var_p(s) + v |s|^2 + V (sum_y p_y s_y)^2)

v and V being the noise of a row's contrasts and of its total (`family.NoisyFamily`): centred scores
take nothing of the noise in the total of z_r, but n_r is off by as much at most. The
negative binomial adds log d and the equation with s_y^2 in the place of s_y and x = 1. Solved by
damped Gauss-Newton with prior b_j ~ N(0, 3^2) for regressors of standard deviation 1.
Sources: McCullagh and Nelder 1989, chapters 4 and 6; Hansen 1982 for estimating equations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import special

from protocol.study.families import Family
from protocol.study.study import Study
from protocol.study.variables import Count
from server.causal.mechanisms.mechanism import Terms
from server.estimation.family import WIDENING, NoisyFamily, Reals

_PRIOR_DEVIATION = 3.0
_CONSTANT_DEVIATION = 10.0
_STEPS = 60
_LARGEST_STEP = 1.0
_HALVINGS = 6
_STEP = 1e-4  # of numerical derivatives, on the scale of the link
_SMALLEST_SHARE = 1e-12

Sizes: TypeAlias = Sequence[int]


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """The rows of a table as numbers: x, and what its columns are called."""

    names: tuple[str, ...]
    columns: Reals  # shape (R, 1 + terms); natural units
    centre: Reals  # mean of each column over the persons, 0 for the constant
    spread: Reals  # its standard deviation, 1 for the constant

    @property
    def standard(self) -> Reals:
        """Return the columns with mean 0 and standard deviation 1, except the constant."""
        return np.asarray((self.columns - self.centre) / self.spread)

    def natural(self, coefficients: Reals) -> Reals:
        """Return coefficients of `standard`, shape (.., 1 + terms), as those of `columns`."""
        found = coefficients / self.spread
        found[..., 0] -= found[..., 1:] @ self.centre[1:]
        return np.asarray(found)


@dataclass(frozen=True, slots=True, eq=False)
class _Equations:
    """What the parameters (b, and log d) have to solve."""

    design: Reals  # columns over their spread
    family: NoisyFamily
    counts: tuple[tuple[int, int], ...] | None  # ranges of the codes; None for a boolean
    dispersed: bool


@dataclass(frozen=True, slots=True, eq=False)
class TableRegression:
    """A table made by a regression, with draws and coefficients."""

    table: Reals  # shape (R, k)
    draws: Reals  # shape (draws, R, k)
    terms: Terms


def fit_table_regression(
    study: Study, family: Family, noisy: NoisyFamily, draws: int, generator: Generator
) -> TableRegression:
    """Return the mechanism of a family of kind logistic, poisson or negative-binomial."""
    design = design_of(study, family, noisy.totals)
    variable = study.variable(family.node)
    counts = variable.ranges if isinstance(variable, Count) else None
    dispersed = family.mechanism.kind == "negative-binomial"
    equations = _Equations(design.standard, noisy, counts, dispersed)
    mean, precision = _solve(equations)
    factor = np.linalg.cholesky(precision)
    normal = generator.standard_normal((draws, len(mean)))
    drawn = mean + np.sqrt(WIDENING) * np.linalg.solve(factor.T, normal.T).T
    return TableRegression(
        table=_shares(equations, mean),
        draws=np.array([_shares(equations, one) for one in drawn]).reshape(
            draws, len(noisy.table), noisy.codes
        ),
        terms=_terms(design, mean, drawn),
    )


def _terms(design: Design, mean: Reals, drawn: Reals) -> Terms:
    columns = len(design.names)
    names = (*design.names, *(["log dispersion"] if len(mean) > columns else []))
    estimate, draws = (
        np.concatenate([design.natural(one[..., :columns]), one[..., columns:]], axis=-1)
        for one in (mean, drawn)
    )
    return Terms(names, estimate, draws)


def design_of(study: Study, family: Family, totals: Reals) -> Design:
    """Return a constant, and per parent its number, or indicators of its levels but the first.

    Codes of a numeric parent without a number (OTHER, MISSING) have an indicator of their own.
    """
    sizes = study.model_sizes(family.parents)
    codes = np.indices(sizes).reshape(len(sizes), -1)
    names, columns = ["(constant)"], [np.ones(len(totals))]
    for parent, own in zip(family.parents, codes, strict=True):
        labels, scores = study.model_labels(parent), study.model_scores(parent)
        numbers = np.array([0.0 if score is None else float(score) for score in scores])
        first = 1 if all(score is None for score in scores) else 0
        if not first:
            names.append(parent)
            columns.append(numbers[own])
        for code, score in enumerate(scores):
            if score is None and code >= first:
                names.append(f"{parent} = {labels[code]}")
                columns.append((own == code).astype(np.float64))
    found = np.array(columns).T
    weights = totals / totals.sum() if totals.sum() > 0 else np.full(len(totals), 1 / len(totals))
    centre = weights @ found
    spread = np.sqrt(weights @ (found - centre) ** 2)
    spread[spread < 1e-9] = 1.0
    centre[0] = 0.0
    return Design(tuple(names), found, centre, spread)


def _solve(equations: _Equations) -> tuple[Reals, Reals]:
    """Return the posterior mean and precision of the parameters."""
    columns = equations.design.shape[1]
    found = np.zeros(columns + equations.dispersed)
    found[0] = _start(equations)
    centre = found.copy()
    deviations = np.full(len(found), _PRIOR_DEVIATION)
    deviations[0] = _CONSTANT_DEVIATION
    prior = np.diag(deviations**-2.0)
    for _ in range(_STEPS):
        gap, slope, spread = _gap(equations, found)
        weighted = np.linalg.solve(spread, slope)
        precision = slope.T @ weighted + prior
        step = np.linalg.solve(precision, weighted.T @ gap - prior @ (found - centre))
        step /= max(1.0, float(np.abs(step).max()) / _LARGEST_STEP)
        found = _shortened(equations, found, step, (spread, prior, centre))
        if float(np.abs(step).max()) < 1e-8:
            break
    return found, precision


def _shortened(
    equations: _Equations, found: Reals, step: Reals, fixed: tuple[Reals, Reals, Reals]
) -> Reals:
    """Return `found` moved by the step, halved until the equations are met better."""
    spread, prior, centre = fixed

    def distance(at: Reals) -> float:
        gap = _residual(equations, _shares(equations, at))
        away = at - centre
        return float(gap @ np.linalg.solve(spread, gap) + away @ prior @ away)

    before = distance(found)
    for _ in range(_HALVINGS):
        if distance(found + step) <= before:
            return found + step
        step = step / 2
    return found


def _start(equations: _Equations) -> float:
    scores = _scores(equations)
    mean = float(equations.family.base @ scores)
    if equations.counts is None:
        return float(special.logit(np.clip(mean, 0.01, 0.99)))
    return float(np.log(max(mean, 0.01)))


def _scores(equations: _Equations) -> Reals:
    if equations.counts is None:
        return np.array([0.0, 1.0])
    return np.array([(low + high) / 2 for low, high in equations.counts])


def _functionals(equations: _Equations) -> list[tuple[Reals, Reals]]:
    """Return pairs of weights of rows, shape (R, columns), and weights of codes, shape (k,)."""
    scores = _scores(equations)
    found = [(equations.design, scores - scores.mean())]
    if equations.dispersed:
        squares = scores**2
        found.append((np.ones((len(equations.design), 1)), squares - squares.mean()))
    return found


def _gap(equations: _Equations, found: Reals) -> tuple[Reals, Reals, Reals]:
    """Return g, its derivative by the parameters with the sign turned, and its covariance."""
    totals = equations.family.totals
    shares = _shares(equations, found)
    functionals = _functionals(equations)
    gap = _residual(equations, shares)
    slope = np.empty((len(gap), len(found)))
    for at in range(len(found)):
        step = np.zeros(len(found))
        step[at] = _STEP
        turned = (_shares(equations, found + step) - _shares(equations, found - step)) / (2 * _STEP)
        moved = totals[:, None] * turned
        slope[:, at] = np.concatenate([rows.T @ (moved @ codes) for rows, codes in functionals])
    return gap, slope, _covariance(equations, shares, functionals)


def _residual(equations: _Equations, shares: Reals) -> Reals:
    """Return g for the codes' shares, shape (R, k)."""
    family = equations.family
    left = family.table - family.totals[:, None] * shares
    return np.concatenate([rows.T @ (left @ codes) for rows, codes in _functionals(equations)])


def _covariance(
    equations: _Equations, shares: Reals, functionals: list[tuple[Reals, Reals]]
) -> Reals:
    family = equations.family
    weights = np.array([codes for _, codes in functionals])  # shape (functionals, k)
    means = shares @ weights.T  # shape (R, functionals)
    outer = means[:, :, None] * means[:, None, :]
    second = np.einsum("rk,ik,jk->rij", shares, weights, weights)
    sampled = family.reliable_totals[:, None, None] * (second - outer)
    noise = family.contrast_variance * (weights @ weights.T) + family.total_variance * outer
    by_row = sampled + noise
    blocks = [
        [
            np.einsum("ra,r,rb->ab", rows, by_row[:, i, j], others)
            for j, (others, _) in enumerate(functionals)
        ]
        for i, (rows, _) in enumerate(functionals)
    ]
    found = np.block(blocks)
    return np.asarray(found + 1e-9 * np.trace(found) * np.eye(len(found)))


def _shares(equations: _Equations, found: Reals) -> Reals:
    """Return p_y(x_r b), shape (R, k)."""
    columns = equations.design.shape[1]
    predictor = np.clip(equations.design @ found[:columns], -30.0, 30.0)
    if equations.counts is None:
        chance = special.expit(predictor)
        return np.stack([1 - chance, chance], axis=1)
    mean = np.exp(predictor)
    size = np.exp(-np.clip(found[columns], -12.0, 6.0)) if equations.dispersed else None
    below = [_distribution(high, mean, size) for _, high in equations.counts[:-1]]
    edges = np.array([np.zeros_like(mean), *below, np.ones_like(mean)])
    shares = np.maximum(np.diff(edges, axis=0).T, _SMALLEST_SHARE)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _distribution(count: int, mean: NDArray[np.float64], size: float | None) -> Reals:
    if size is None:
        return np.asarray(special.pdtr(count, mean))
    return np.asarray(special.betainc(size, count + 1, size / (size + mean)))
