"""Survival mechanisms from exits: who left in which interval, by the event or by censoring.

With e_k and c_k the shares of a row that leave in interval k by the event and by censoring, and
S_k = sum_{j >= k} (e_j + c_j) those observed at its start, the hazard of the event is
h_k = e_k / (S_k - c_k / 2): people censored in an interval are at risk for half of it (actuarial
estimate; Cutler and Ederer 1958), except in the last one, which most of them are observed
through. Censoring given the parents is taken to tell nothing of the event (independent
censoring), so that its own hazard is c_k / (S_k - e_k / 2).
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Shares: TypeAlias = NDArray[Any]  # float64

_NOBODY = 1e-12


def event_shares(exits: Shares) -> Shares:
    """Return the shares by interval of the event, then without one: (.., 2 K) to (.., K + 1)."""
    events, censored = _halves(exits)
    at_risk = _observed(exits) - censored / 2
    at_risk[..., -1] = _observed(exits)[..., -1]  # those observed to the end are censored there
    return _spread(_hazard(events, at_risk))


def censoring_shares(exits: Shares) -> Shares:
    """Return the shares by interval in which observation would end: (.., 2 K) to (.., K).

    The last interval holds all who would be observed to its start.
    """
    events, censored = _halves(exits)
    at_risk = _observed(exits) - events / 2
    return _spread(_hazard(censored, at_risk)[..., :-1])


def _halves(exits: Shares) -> tuple[Shares, Shares]:
    intervals = exits.shape[-1] // 2
    return exits[..., :intervals], exits[..., intervals:]


def _observed(exits: Shares) -> Shares:
    """Return S_k, shape (.., K)."""
    events, censored = _halves(exits)
    left = np.cumsum((events + censored)[..., ::-1], axis=-1)[..., ::-1]
    return np.asarray(left)


def _hazard(leaving: Shares, at_risk: Shares) -> Shares:
    """Return leaving / at risk, at most 1; 0 where nobody is left."""
    some = at_risk > _NOBODY
    return np.where(some, np.minimum(leaving / np.where(some, at_risk, 1.0), 1.0), 0.0)


def _spread(hazard: Shares) -> Shares:
    """Return the shares of every interval and of what is left after the last."""
    survival = np.cumprod(1 - hazard, axis=-1)
    before = np.concatenate([np.ones_like(survival[..., :1]), survival[..., :-1]], axis=-1)
    return np.concatenate([before * hazard, survival[..., -1:]], axis=-1)
