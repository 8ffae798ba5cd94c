"""A bounded search of all that a Byzantine coordinator may do to a few sites in one round.

Every list at every step, every silence: no single vector can be bared, and no two sums of one
round. With a defence taken away the same search finds the attack.
"""

from collections.abc import Callable

import pytest

from protocol.secagg import joining
from tests.support.secagg_exploration import Exploration, subsets
from tests.support.secagg_network import consortium


@pytest.mark.parametrize(("sites", "threshold"), [(3, 2), (4, 3)])
def test_no_schedule_bares_a_vector_or_opens_two_sums(sites: int, threshold: int) -> None:
    found = Exploration(consortium(sites, threshold=threshold, n_min=threshold))
    opened = set[frozenset[int]]()
    for openings in found.openings():
        assert len(openings) <= 1  # two sums of one round would show their difference
        opened |= openings
    assert opened == {cohort for cohort in subsets(sites) if len(cohort) >= threshold}
    assert found.rounds >= {3: 960, 4: 5_000}[sites]  # none that was there before is left out


def violations(found: Exploration) -> list[object]:
    return [
        openings
        for openings in found.openings()
        if len(openings) > 1 or any(len(cohort) < 2 for cohort in openings)
    ]


def test_a_site_that_forgets_what_it_agreed_to_is_the_end_of_secrecy() -> None:
    """Why the agreement is in the journal, on the disk, before it leaves (SPEC 4.6.4, 7.6)."""
    assert violations(Exploration(forgetful=True))


def test_a_threshold_that_two_quorums_meet_opens_two_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why 2t > n + c (SPEC 4.2)."""
    _switch_off(monkeypatch, "check_descriptor", lambda *_: None)
    assert violations(Exploration(consortium(3, threshold=1, n_min=2)))


def test_a_cohort_without_a_least_size_bares_one_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why lists below n_min, and lists without the site itself, are refused (SPEC 4.6)."""
    _switch_off(monkeypatch, "check_members", lambda *_: None)
    assert any(len(cohort) == 1 for openings in Exploration().openings() for cohort in openings)


def _switch_off(
    monkeypatch: pytest.MonkeyPatch, defence: str, instead: Callable[..., None]
) -> None:
    monkeypatch.setattr(joining, defence, instead)
