"""Whole rounds under faults: the exact sum of exactly the agreed cohort, or no sum at all."""

from itertools import combinations, product

import pytest

from protocol.errors import CohortError
from protocol.identifiers import SiteId
from protocol.secagg.messages import MaskedVector
from protocol.secagg.transcript import decode, verify_transcript
from tests.support.secagg_network import (
    STEPS,
    Consortium,
    CorruptAnswer,
    CorruptRequest,
    DelayAnswer,
    Duplicate,
    Equivocate,
    Fault,
    LoseAnswer,
    LoseRequest,
    Outcome,
    RestartCoordinator,
    RestartSite,
    Shuffle,
    consortium,
    run,
    total,
)

# Five sites of which one may be lost before the vectors are in, two after.
WORLD = consortium(5, threshold=3, n_min=4)
LOSSES = (LoseRequest, LoseAnswer, DelayAnswer, RestartSite)


def check(world: Consortium, outcome: Outcome, cohort: set[int]) -> None:
    """Check that the round delivers over exactly `cohort`, and that its transcript says so."""
    assert outcome.complete is not None, outcome.error
    assert set(outcome.complete.cohort) == cohort
    assert set(outcome.complete.dropped) == set(range(len(world.keys))) - cohort
    assert (outcome.complete.sum == total(world, cohort)).all()
    again = verify_transcript(outcome.transcript, world.roster)
    assert (again.sum == outcome.complete.sum).all()


def lost(step: int, *sites: int) -> set[int]:
    """Return the cohort if these sites fall silent in `step`: a vector, once in, stays in."""
    return set(range(5)) - (set(sites) if step <= 2 else set())


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 20])
def test_a_round_without_faults_sums_all_sites(n: int) -> None:
    world = consortium(n)
    check(world, run(world), set(range(n)))


def test_a_vector_of_no_elements_makes_a_round_too() -> None:
    world = consortium(3, length=0)
    check(world, run(world), {0, 1, 2})


def test_a_vector_longer_than_a_chunk_makes_a_round_too() -> None:
    world = consortium(3, length=20_001, threshold=2, n_min=2)
    check(world, run(world, LoseAnswer(2, 1)), {0, 2})


@pytest.mark.parametrize(("loss", "step", "site"), list(product(LOSSES, STEPS, range(5))))
def test_one_silent_site_at_any_step_does_not_stop_the_round(
    loss: type[LoseRequest], step: int, site: int
) -> None:
    check(WORLD, run(WORLD, loss(step, site)), lost(step, site))


@pytest.mark.parametrize(("before", "after"), list(combinations(STEPS, 2)))
@pytest.mark.parametrize("loss", LOSSES)
def test_two_sites_lost_at_different_steps_end_in_a_sum_or_in_a_refusal(
    loss: type[LoseRequest], before: int, after: int
) -> None:
    outcome = run(WORLD, loss(before, 1), loss(after, 3))
    if after <= 2:
        assert outcome.complete is None
        assert isinstance(outcome.error, CohortError)
    else:
        check(WORLD, outcome, lost(before, 1))


@pytest.mark.parametrize("step", STEPS)
def test_the_round_ends_when_the_step_falls_below_what_it_needs(step: int) -> None:
    silent = [LoseAnswer(step, site) for site in range(2 if step <= 2 else 3)]
    outcome = run(WORLD, *silent)
    assert outcome.complete is None
    assert isinstance(outcome.error, CohortError)
    assert outcome.error.found == outcome.error.needed - 1


@pytest.mark.parametrize(("step", "site"), list(product(STEPS, (0, 4))))
def test_messages_that_arrive_twice_count_once(step: int, site: int) -> None:
    outcome = run(WORLD, Duplicate(step, site))
    check(WORLD, outcome, set(range(5)))
    assert [(s, i) for s, i, _ in outcome.site_refusals] == [(step, site)]
    assert {e.code for _, _, e in outcome.site_refusals} == {"out-of-turn"}


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_answers_does_not_matter(seed: int) -> None:
    outcome = run(WORLD, *(Shuffle(step, seed) for step in STEPS))
    check(WORLD, outcome, set(range(5)))


@pytest.mark.parametrize("step", STEPS)
def test_a_coordinator_that_restarts_in_the_middle_of_a_write_goes_on(step: int) -> None:
    outcome = run(WORLD, LoseAnswer(2, 2), RestartCoordinator(step))
    check(WORLD, outcome, {0, 1, 3, 4})


def test_a_coordinator_may_restart_at_every_step() -> None:
    check(WORLD, run(WORLD, *map(RestartCoordinator, STEPS)), set(range(5)))


@pytest.mark.parametrize("step", STEPS)
def test_a_late_answer_is_out_of_turn_and_blames_nobody(step: int) -> None:
    outcome = run(WORLD, DelayAnswer(step, 2))
    check(WORLD, outcome, lost(step, 2))
    refused = [(s, e.code, e.culprits) for s, e in outcome.coordinator_refusals]
    assert refused == ([(step + 1, "out-of-turn", ())] if step < 4 else [])


CORRUPTIONS: list[Fault] = [
    kind(step, 2, bit)
    for kind in (CorruptRequest, CorruptAnswer)
    for step in STEPS
    for bit in (0, 7, 70, 300, 900, -1)
]


@pytest.mark.parametrize("fault", CORRUPTIONS, ids=repr)
def test_a_corrupted_message_costs_no_more_than_its_site(fault: CorruptAnswer) -> None:
    outcome = run(WORLD, fault)
    check(WORLD, outcome, lost(fault.step, 2))
    assert len(outcome.site_refusals) + len(outcome.coordinator_refusals) == 1


@pytest.mark.parametrize("shown", [{0}, {0, 1}, {0, 1, 2}, {0, 1, 2, 3}], ids=str)
@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_coordinator_that_shows_two_lists_opens_at_most_one_sum(
    step: int, shown: set[int]
) -> None:
    outcome = run(WORLD, Equivocate(step, frozenset(shown), 4))
    if outcome.complete is None:
        assert isinstance(outcome.error, CohortError)
    else:
        check(WORLD, outcome, {int(site) for site in outcome.complete.cohort})


def test_a_coordinator_that_shows_half_the_sites_another_cohort_opens_nothing() -> None:
    outcome = run(WORLD, Equivocate(3, frozenset({0, 1, 2}), 4))
    assert outcome.complete is None
    assert isinstance(outcome.error, CohortError)
    assert outcome.error.code == "too-few-agreements"


def test_a_quorum_of_others_opens_where_one_agreement_is_lost() -> None:
    check(WORLD, run(WORLD, LoseAnswer(3, 1)), set(range(5)))


def test_a_quorum_that_leaves_out_a_signer_opens_nothing() -> None:
    outcome = run(WORLD, Equivocate(4, frozenset(range(5)), 2))
    assert outcome.complete is None
    assert {error.code for _, _, error in outcome.site_refusals} == {"quorum-too-small"}


def test_every_set_of_sites_that_may_be_lost_may_be_lost() -> None:
    world = consortium(6, threshold=4, n_min=4)
    for size in range(3):
        for silent in combinations(range(6), size):
            outcome = run(world, *(LoseAnswer(2, site) for site in silent))
            check(world, outcome, set(range(6)) - set(silent))


def test_the_same_vector_is_masked_anew_in_every_round() -> None:
    masked = [
        {
            event.site: event.vector
            for event in decode(transcript)[1]
            if isinstance(event, MaskedVector)
        }
        for transcript in (run(WORLD).transcript, run(WORLD.issue(counter=2)).transcript)
    ]
    for position in range(5):
        first, second = (WORLD.residues(vectors[SiteId(position)]) for vectors in masked)
        assert (first != second).all()
        assert (first != WORLD.vector(position)).all()
