"""What a round over given records would release, without the round."""

import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.utility.answer import counted
from bench.utility.world import Codes, Values
from protocol.privacy.moments import pairs
from protocol.privacy.plan import Block, StatisticsPlan
from protocol.privacy.residuals import Counts, residual_table
from protocol.study.graph import Clique
from protocol.study.study import Study
from protocol.study.variables import Numeric, Variable
from server.estimation.evidence import NoisySum

_HARDLY_ANY = Fraction(1, 2**16)  # scale of noise, of integers, that stands for none


def release(
    study: Study,
    plan: StatisticsPlan,
    codes: Codes,
    contributors: int,
    generator: Generator,
    values: Values | None = None,
) -> NoisySum:
    """Return the noisy sum of a round in which `contributors` sites hold the records.

    Rounded Gaussian noise stands in for the discrete Gaussian: the same variance up to 1/12, at
    scales from 3 up. Moments need the `values` of numeric variables; residual tables do not.

    Raises:
        ValueError: the plan has moments, and there are no values.
    """
    released = np.empty(plan.length, dtype=np.int64)
    tables = _tables(study, plan, codes)
    for block in plan.blocks:
        exact = (
            residual_table(tables[block.clique])
            if block.kind == "residual"
            else _moments(study, block, codes, values)
        )
        scale = math.sqrt(block.variance(contributors))
        noise = np.rint(scale * generator.standard_normal(block.size)).astype(np.int64)
        released[block.span] = exact.ravel() + noise
    return NoisySum(plan, released, contributors)


def without_noise(plan: StatisticsPlan) -> StatisticsPlan:
    """Return the plan with noise that rounds to none, so that sampling alone is left.

    Not a plan that any site would sign: its blocks do not cost what they say.
    """
    return replace(
        plan, blocks=tuple(replace(block, site_scale=_HARDLY_ANY) for block in plan.blocks)
    )


def _tables(study: Study, plan: StatisticsPlan, codes: Codes) -> Mapping[Clique, Counts]:
    """Return the counts of every clique of the plan; records are read for the largest alone."""
    found: dict[Clique, Counts] = {}
    cliques = (block.clique for block in plan.blocks if block.kind == "residual")
    for clique in sorted(cliques, key=len, reverse=True):
        cover = next((other for other in found if set(clique) <= set(other)), None)
        found[clique] = (
            counted(codes, study, clique) if cover is None else _summed(found[cover], cover, clique)
        )
    return found


def _summed(table: Counts, family: Clique, clique: Clique) -> Counts:
    """Return the table of a clique from that of a family that holds it, in the same order."""
    summed: Counts = table.sum(
        axis=tuple(axis for axis, name in enumerate(family) if name not in clique)
    )
    return summed


def _moments(study: Study, block: Block, codes: Codes, values: Values | None) -> Counts:
    """Return sum q^2 z z' of numeric variables (`protocol/privacy/moments.py`) by parents' codes.

    Raises:
        ValueError: there are no values, or the block holds something else.
    """
    if values is None or block.kind != "moments":
        raise ValueError(f"expected values for moments of {block.clique}, found {block.kind}")
    nodes, split = study.causal_graph.nodes, len(block.shape) - 1
    rows, numbers = block.clique[:split], block.clique[split:]
    steps = math.isqrt(block.unit)
    scaled = np.full((len(values), 1 + len(numbers)), steps, dtype=np.int64)
    for place, name in enumerate(numbers, start=1):
        share = _between_bounds(study.variables[name], values[:, nodes.index(name)])
        scaled[:, place] = np.rint(steps * (2 * share - 1))
    cells = [codes[:, nodes.index(name)] for name in rows]
    flat = np.ravel_multi_index(cells, block.shape[:-1]) if rows else np.zeros(len(codes), np.intp)
    found = np.zeros((math.prod(block.shape[:-1]), block.shape[-1]), dtype=np.int64)
    for place, (first, second) in enumerate(pairs(len(numbers) - 1)):
        products = (scaled[:, first] * scaled[:, second]).astype(np.float64)  # exact: below 2^53
        found[:, place] = np.bincount(flat, products, len(found)).astype(np.int64)
    return found.reshape(block.shape)


def _between_bounds(variable: Variable, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return clamped numbers as shares of the way from the lowest edge to the highest."""
    if not isinstance(variable, Numeric):
        raise TypeError(f"expected a numeric variable, found a {variable.kind}")
    low, high = float(variable.edges[0]), float(variable.edges[-1])
    return np.asarray((np.clip(numbers, low, high) - low) / (high - low))
