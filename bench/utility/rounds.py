"""What a round over given records would release, without the round."""

import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.random import Generator

from bench.utility.answer import counted
from bench.utility.world import Codes
from protocol.privacy.plan import StatisticsPlan
from protocol.privacy.residuals import Counts, residual_table
from protocol.study.graph import Clique
from protocol.study.study import Study
from server.estimation.evidence import NoisySum

_HARDLY_ANY = Fraction(1, 2**16)  # scale of noise, of integers, that stands for none


def release(
    study: Study, plan: StatisticsPlan, codes: Codes, contributors: int, generator: Generator
) -> NoisySum:
    """Return the noisy sum of a round in which `contributors` sites hold the records.

    Rounded Gaussian noise stands in for the discrete Gaussian: the same variance up to 1/12, at
    scales from 3 up.
    """
    values = np.empty(plan.length, dtype=np.int64)
    tables = _tables(study, plan, codes)
    for block in plan.blocks:
        scale = math.sqrt(block.variance(contributors))
        noise = np.rint(scale * generator.standard_normal(block.size)).astype(np.int64)
        values[block.span] = residual_table(tables[block.clique]).ravel() + noise
    return NoisySum(plan, values, contributors)


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
    for clique in sorted((block.clique for block in plan.blocks), key=len, reverse=True):
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
