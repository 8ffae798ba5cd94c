"""Values of regressions: quantiles of a response around its linear predictor."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

from server.causal.mechanisms.mechanism import Response
from server.causal.sampling.normal import normal_quantile

Reals: TypeAlias = NDArray[Any]  # float64, shape (rows,); scipy widens the type

_LARGEST_LOG = 50.0  # of a mean count
_LARGEST_STEPPED = 500.0  # mean count up to which the probability of 0 is a normal double
_LEAST_DISPERSION = 1e-9


def quantile(
    response: Response, predictor: Reals, scale: Reals, uniform: Reals, most: float
) -> Reals:
    """Return the quantile of a response at `uniform`, in [0, 1), given its linear predictor.

    Counts above `most` need not be told apart.
    """
    if response == "gaussian":
        return np.asarray(predictor + scale * normal_quantile(uniform))
    if response == "logistic":
        return (uniform >= special.expit(-predictor)).astype(np.float64)
    mean = np.exp(np.minimum(predictor, _LARGEST_LOG))
    size = np.inf if response == "poisson" else 1.0 / np.maximum(scale, _LEAST_DISPERSION)
    return counts_at(mean, size * np.ones_like(mean), uniform, int(most))


def counts_at(mean: Reals, size: Reals, uniform: Reals, most: int) -> Reals:
    """Return the least counts k with P(count <= k) > `uniform`, at most `most`.

    Negative binomial of this mean and size, 1 / dispersion; of infinite size Poisson.
    """
    large = mean > _LARGEST_STEPPED
    found = _stepped(np.where(large, 0.0, mean), size, uniform, most)
    if large.any():
        found[large] = _searched(mean[large], size[large], uniform[large], most)
    return found


def _stepped(mean: Reals, size: Reals, uniform: Reals, most: int) -> Reals:
    """Count up from 0: p(k + 1) = p(k) (size + k) / (k + 1) mean / (size + mean).

    The last two factors are (a + k b) / (k + 1), of Poisson with a = mean and b = 0.
    """
    endless = np.isinf(size)
    finite = np.where(endless, 1.0, size)
    probability = np.where(endless, np.exp(-mean), np.exp(-finite * np.log1p(mean / finite)))
    share = mean / (finite + mean)
    a, b = np.where(endless, mean, finite * share), np.where(endless, 0.0, share)
    below, found = probability.copy(), np.zeros_like(mean)
    for count in range(most):
        beyond = uniform >= below
        if not beyond.any():
            break
        found += beyond
        probability = probability * (a + count * b) / (count + 1)
        below = below + probability
    return found


def _searched(mean: Reals, size: Reals, uniform: Reals, most: int) -> Reals:
    """Halve the range in which the count lies."""
    low, high = np.zeros_like(mean), np.full_like(mean, most)
    endless = np.isinf(size)
    finite = np.where(endless, 1.0, size)
    for _ in range(most.bit_length()):
        middle = np.floor((low + high) / 2)
        below = np.where(
            endless,
            special.pdtr(middle, mean),
            special.betainc(finite, middle + 1, finite / (finite + mean)),
        )
        reached = below > uniform
        high = np.where(reached, middle, high)
        low = np.where(reached, low, np.minimum(middle + 1, most))
    return high
