"""The sums of two rounds as one that tells as much: for what a report shows of released numbers.

Residual tables are averaged by inverse variance (`server/estimation/combination.py`), rounded to
integers again, under a plan whose scales have the variance of the average. Nobody ran such a
round; the fit takes the two sums as they are.
"""

from dataclasses import replace
from fractions import Fraction
from math import sqrt

import numpy as np

from protocol.privacy.plan import Block
from server.estimation.evidence import Counts, NoisySum


def pooled(noisy: NoisySum, earlier: NoisySum) -> NoisySum:
    """Return the residual tables of both sums in the form of one; other blocks as in `noisy`.

    The sums measure the same residual tables.
    """
    values, blocks = noisy.values.copy(), []
    for block in noisy.plan.blocks:
        if block.kind != "residual":
            blocks.append(block)
            continue
        other = earlier.plan.block(block.clique, block.population)
        found, scale = _pooled(block, noisy, other, earlier)
        values[block.span] = found
        blocks.append(replace(block, site_scale=scale))
    return replace(noisy, plan=replace(noisy.plan, blocks=tuple(blocks)), values=values)


def _pooled(
    block: Block, noisy: NoisySum, other: Block, earlier: NoisySum
) -> tuple[Counts, Fraction]:
    """Return the averaged integers in units of `block`, and the scale of a site to go with them."""
    units = block.unit / other.unit
    mine = float(block.variance(noisy.contributors))
    others = float(other.variance(earlier.contributors)) * units**2
    share = others / (mine + others)
    average = share * noisy.values[block.span] + (1 - share) * units * earlier.values[other.span]
    scale = sqrt(mine * share / noisy.contributors)
    return np.rint(average).astype(np.int64), Fraction(scale)
