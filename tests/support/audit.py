"""An attack on released vectors, and the epsilon that its success proves.

The attacker scores every release, larger where the unit seems present. Some releases of either
data set choose a threshold; the others show how often it errs: false positives a, false negatives
b, bounded from above by Clopper and Pearson. Then

    epsilon >= log((1 - delta - a) / b), log((1 - delta - b) / a)     for any mechanism
    mu      >= Phi^-1(1 - a) - Phi^-1(b)                              for one that is mu-GDP

Jagielski, Ullman, Oprea 2020 ("Auditing Differentially Private Machine Learning: How Private is
Private SGD?"); Nasr et al. 2023 ("Tight Auditing of Differentially Private Machine Learning",
section 4.2), whose second bound asks for far fewer releases. Gaussian noise with a squared
distance of 2 rho (in deviations) is sqrt(2 rho)-GDP (Dong, Roth, Su 2022).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import beta, norm

Integers: TypeAlias = NDArray[np.int64]
Reals: TypeAlias = NDArray[np.float64]

ALPHA = 1e-7  # each bound is above the truth with at most this probability
THRESHOLDS = 199
SMALLEST = 1e-300  # keeps the logarithm of a rate finite
BATCH = 2**20  # elements drawn at a time


@dataclass(frozen=True, slots=True)
class Game:
    """Two neighbouring data sets, how they are released, and how the attacker scores a release.

    `release` takes a vector (d,), a number of runs, and a source of noise that a sound mechanism
    of OpenDP's leaves alone; it returns shape (runs, d). `score` returns shape (runs,).
    """

    absent: Integers  # shape (d,)
    present: Integers
    release: Callable[[Integers, int, Generator], Integers]
    score: Callable[[Integers], Reals]


@dataclass(frozen=True, slots=True)
class Finding:
    """What the attack proves, each bound with probability 1 - ALPHA."""

    epsilon: float  # at `delta`, of any mechanism
    mu: float  # of a Gaussian one
    delta: float

    @property
    def rho(self) -> float:
        """Return the zCDP that a Gaussian mechanism has at least."""
        return self.mu**2 / 2

    @property
    def gaussian_epsilon(self) -> float:
        """Return the epsilon that a Gaussian mechanism has at least, at `delta`."""
        return epsilon_of_gaussian(self.mu, self.delta)


def play(
    game: Game, runs: int, delta: float, source: Generator, *, batch: int | None = None
) -> Finding:
    """Return what `runs` releases of either data set prove, drawn `batch` at a time."""
    size = batch or max(1, BATCH // game.absent.size)
    absent, present = (
        np.concatenate(
            [
                game.score(game.release(vector, min(size, runs - start), source))
                for start in range(0, runs, size)
            ]
        )
        for vector in (game.absent, game.present)
    )
    return prove(absent, present, delta)


def prove(absent: Reals, present: Reals, delta: float) -> Finding:
    """Return what scores of both data sets prove; the first quarter chooses the thresholds."""
    pilot, end = absent.size // 4, absent.size
    thresholds = np.quantile(
        np.concatenate([absent[:pilot], present[:pilot]]),
        np.linspace(0, 1, THRESHOLDS),
        method="lower",  # a score that occurs: some attacks know only yes and no
    )
    chosen = errors_above(absent[:pilot], present[:pilot], thresholds)

    def found(below: Callable[[Reals, Reals], Reals]) -> float:
        best = thresholds[[np.argmax(below(*chosen))]]
        errors = errors_above(absent[pilot:end], present[pilot:end], best)
        return max(0.0, float(below(*errors)[0]))

    return Finding(found(partial(epsilon_below, delta)), found(mu_below), delta)


def errors_above(absent: Reals, present: Reals, thresholds: Reals) -> tuple[Reals, Reals]:
    """Return upper bounds on the rates of false positives and negatives, per threshold."""
    positives = absent.size - np.searchsorted(np.sort(absent), thresholds, side="right")
    negatives = np.searchsorted(np.sort(present), thresholds, side="right")
    return rate_above(positives, absent.size), rate_above(negatives, present.size)


def rate_above(counts: Integers, runs: int) -> Reals:
    """Return Clopper and Pearson's upper bounds on a rate, each at confidence 1 - ALPHA / 2."""
    bounds = beta.isf(ALPHA / 2, counts + 1, np.maximum(runs - counts, 1))
    return np.where(counts == runs, 1.0, bounds).astype(np.float64)


def epsilon_below(delta: float, positives: Reals, negatives: Reals) -> Reals:
    """Return the least epsilon, at `delta`, with such rates of errors; negative if any has them."""
    sides = [
        np.log(np.maximum(1 - delta - one, SMALLEST) / other)
        for one, other in ((positives, negatives), (negatives, positives))
    ]
    return np.maximum(*sides)


def mu_below(positives: Reals, negatives: Reals) -> Reals:
    """Return the least mu with such rates of errors."""
    mu: Reals = norm.isf(positives) - norm.ppf(negatives)
    return mu


def epsilon_of_gaussian(mu: float, delta: float) -> float:
    """Return epsilon of a mu-GDP mechanism (Balle, Wang 2018, theorem 8; Dong et al. 2022)."""

    def excess(epsilon: float) -> float:
        first, second = mu / 2 - epsilon / mu, -mu / 2 - epsilon / mu
        return float(norm.cdf(first) - np.exp(epsilon + norm.logcdf(second)) - delta)

    if mu <= 0 or excess(0.0) <= 0:
        return 0.0
    return float(brentq(excess, 0.0, mu**2 / 2 + 40 * mu))
