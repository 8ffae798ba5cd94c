"""Hazards from exits, against tables worked by hand."""

import numpy as np
import pytest
from numpy.random import default_rng
from numpy.typing import NDArray

from server.estimation.survival import censoring_shares, event_shares

Reals = NDArray[np.float64]


def exits(event: Reals, censoring: Reals) -> Reals:
    """Return what is observed of hazards, both times being even inside an interval."""
    left, found = 1.0, np.zeros((2, len(event)))
    for k, (h, g) in enumerate(zip(event, censoring, strict=True)):
        last = k == len(event) - 1
        found[:, k] = left * np.array([h, 1 - h] if last else [h * (1 - g / 2), g * (1 - h / 2)])
        left *= (1 - h) * (1 - g)
    return found.ravel()


def test_without_censoring_shares_are_those_of_the_exits() -> None:
    # 100 persons: 20, 30, 10 events by interval, 40 left at the end
    observed = np.array([20, 30, 10, 0, 0, 40]) / 100
    assert event_shares(observed) == pytest.approx([0.2, 0.3, 0.1, 0.4])
    assert censoring_shares(observed) == pytest.approx([0, 0, 1])


def test_survival_with_censoring_is_close_to_the_actuarial_one() -> None:
    # 1000 persons; events 50, 40, 30; censored 100, 150, then all 630 left at the end
    observed = np.array([50, 40, 30, 100, 150, 630]) / 1000
    first = 50 / (1000 - 50)
    second = 40 / (850 - 75)
    third = 30 / 660
    survival = np.cumprod([1 - first, 1 - second, 1 - third])
    assert 1 - np.cumsum(event_shares(observed))[:3] == pytest.approx(survival, abs=2e-4)


@pytest.mark.parametrize("seed", range(5))
def test_exits_come_out_as_they_went_in(seed: int) -> None:
    generator = default_rng(seed)
    event, censoring = generator.uniform(0, 0.6, 6), generator.uniform(0, 0.6, 6)
    observed = exits(event, censoring)
    assert observed.sum() == pytest.approx(1.0)
    survival = np.cumprod(1 - event)
    assert 1 - np.cumsum(event_shares(observed))[:-1] == pytest.approx(survival)
    assert 1 - np.cumsum(censoring_shares(observed))[:-1] == pytest.approx(
        np.cumprod(1 - censoring[:-1])
    )


def test_those_censored_in_the_last_interval_were_seen_to_its_end() -> None:
    observed = np.array([0.1, 0.1, 0.0, 0.8])  # all followed to the end: risk is the share
    assert event_shares(observed) == pytest.approx([0.1, 0.1, 0.8])


def test_survival_without_events_is_certain() -> None:
    assert event_shares(np.array([0.0, 0.0, 0.7, 0.3])) == pytest.approx([0, 0, 1])


def test_intervals_that_nobody_reaches_have_no_hazard() -> None:
    observed = np.array([0.4, 0.0, 0.0, 0.6, 0.0, 0.0])
    assert event_shares(observed)[1:3] == pytest.approx([0, 0])
    assert event_shares(observed).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    "observed", [[1.0, 0, 0, 0], [0, 0, 1.0, 0], [0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5]]
)
def test_any_exits_give_distributions(observed: list[float]) -> None:
    for shares in (event_shares(np.array(observed)), censoring_shares(np.array(observed))):
        assert (shares >= 0).all()
        assert shares.sum() == pytest.approx(1)


def test_rows_and_draws_are_computed_one_by_one() -> None:
    sets = default_rng(1).dirichlet(np.ones(8), size=(5, 3))
    together = event_shares(sets)
    assert together.shape == (5, 3, 5)
    assert together[4, 2] == pytest.approx(event_shares(sets[4, 2]))
    assert censoring_shares(sets).shape == (5, 3, 4)
