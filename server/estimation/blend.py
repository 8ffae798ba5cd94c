"""The posterior of a table: between trusting a consistent table and shrinking an unbiased one.

Two estimates of the same rows err in opposite ways. Non-negative tables that agree with all other
families have lost most of the noise wherever cells are empty, and hardly need to be shrunk; but
what they clip is a bias. The unbiased noisy table has none, and is shrunk as far as its noise
commands, which costs sharp rows. The point estimate lies between the two, nearer to the consistent
table in rows whose persons stand out of the noise. Draws are those of the unbiased table around
it, and how far apart the two are counts as an error of its own, shared by all rows of a family,
for it is mostly attenuation that all of them have in common. Clipping adds up over codes, and in
the outer bins of a number it has leverage on the mean: many codes are left to the unbiased table.

The constants were chosen by error and coverage: protocol/decisions/0004-effect-intervals.md.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from server.estimation.diagonal import diagonal_posterior
from server.estimation.family import (
    NoisyFamily,
    Possible,
    Posterior,
    Reals,
    Rows,
    Sets,
    nearest_distribution,
)
from server.estimation.hierarchy import fits_in, hierarchical_posterior

TRUST = 2 / 3  # weight of the consistent table in the point estimate of a well-counted row
DROWNED = 2.0  # standard deviations of a row's total at which its weight is half of that
MOST_TRUSTED_CODES = 5
NOISE_LEFT = 0.2  # share of the noise's variance that a consistent table is taken to have
DOUBT = 0.7  # standard deviation of the estimate on the line between the two, in their distance


@dataclass(frozen=True, slots=True, eq=False)
class BlendedPosterior:
    """Draws of one posterior around a point estimate of its own."""

    mean: Rows
    shrunk: Posterior
    apart: Rows  # from the shrunk to the trusting estimate, less so in drowned rows
    possible: Possible | None

    def draw(self, count: int, generator: Generator) -> Sets:
        """Return `count` plausible parameter sets, shape (count, R, k)."""
        sets = self.shrunk.draw(count, generator)
        along = DOUBT * generator.standard_normal((count, 1, 1)) * self.apart
        return nearest_distribution(sets + (self.mean - self.shrunk.mean) + along, self.possible)


def table_posterior(family: NoisyFamily) -> Posterior:
    """Return what is believed of a family's mechanism.

    Without a consistent table, or with many codes, that is the posterior of the unbiased one.
    """
    solver: Callable[[NoisyFamily], Posterior] = (
        hierarchical_posterior if fits_in(family) else diagonal_posterior
    )
    shrunk = solver(family)
    if family.consistent is None or family.codes > MOST_TRUSTED_CODES:
        return shrunk
    trusted = solver(_trusting(family, family.consistent)).mean
    apart = np.asarray(_counted(family)[:, None] * (trusted - shrunk.mean))
    return BlendedPosterior(shrunk.mean + TRUST * apart, shrunk, apart, family.possible)


def _counted(family: NoisyFamily) -> Reals:
    """Return how far the persons of each row stand out of the noise, from 0 to 1, shape (R,)."""
    noise = max(DROWNED**2 * family.total_variance, 1e-12)
    return np.asarray(family.totals**2 / (family.totals**2 + noise))


def _trusting(family: NoisyFamily, consistent: Rows) -> NoisyFamily:
    return replace(
        family,
        table=consistent,
        contrast_variance=NOISE_LEFT * family.contrast_variance,
        total_variance=NOISE_LEFT * family.total_variance,
    )
