"""Private selection by real processes: the right winner, and nothing but the winner."""

from pathlib import Path

import numpy as np
import pytest

from deploy.demo.processes import free_ports
from protocol.errors import PeerError, PolicyError
from protocol.secagg.coordinator_states import StepClosed
from protocol.secagg.ring import pack, to_ring, to_wire
from protocol.terms import check_selectors
from server.aggregator.cohort import Cohort, check_can_select, check_winner, read_cohort
from server.aggregator.work import Operator, generator_keys, selection_keys
from server.release.choice import choice_of, verify_choice, write_choice
from server.rounds.papers import Papers
from tests.faults.test_aggregator_meeting import Meeting, job, shares_of
from tests.support.secagg_network import Consortium, signing_key
from tests.support.split_world import SplitRound, sealing_key, study_consortium
from tests.unit.test_study_selection import TEXT

NOW = 1_900_000_000


def world(aggregators: int = 3) -> Consortium:
    """Return three sites and a round of a selection."""
    return study_consortium(TEXT, 3, aggregators)


def cohort_of(it: Consortium) -> Cohort:
    played = SplitRound(it)
    played.collect()
    return read_cohort(TEXT, played.transcript, it.roster, now=NOW)


def keys_of(it: Consortium, cohort: Cohort, place: int) -> dict[str, str]:
    operator = Operator(
        place, it.roster, signing_key(it.seed, "aggregator", place), sealing_key(it.seed, place)
    )
    keys = generator_keys(operator, cohort) | selection_keys(operator, cohort)
    return {name: key.hex() for name, key in keys.items()}


WORLD = world()
COHORT = cohort_of(WORLD)
KEYS = [keys_of(WORLD, COHORT, place) for place in range(3)]
SCORES = {
    "one is best": ([5, -7, 100, 3], 2),
    "the first of equals": ([9, 4, 9, 9], 0),
    "negative numbers": ([-(2**49), -(2**48), -(2**49) + 1], 1),
    "two, far apart": ([2**49, -(2**49)], 0),
    "two, by one": ([2**49 - 1, 2**49], 1),
}


@pytest.mark.parametrize(("scores", "winner"), SCORES.values(), ids=SCORES)
def test_the_best_candidate_wins_and_only_its_place_is_opened(
    scores: list[int], winner: int, tmp_path: Path
) -> None:
    meeting, (port,) = Meeting(tmp_path), free_ports(1)
    for place, share in enumerate(shares_of(np.array(scores, np.int64), 3)):
        meeting.send(job(place, 3, port, choose=True, keys=KEYS[place]), share)
    meeting.end()
    assert not meeting.errors, (tmp_path / "0.log").read_text()
    expected = [int(place == winner) for place in range(len(scores))]
    assert [meeting.results[place].tolist() for place in range(3)] == [expected] * 3


def test_sixty_four_candidates_are_compared(tmp_path: Path) -> None:
    scores = np.random.default_rng(3).integers(-(2**49), 2**49, 64)
    meeting, (port,) = Meeting(tmp_path), free_ports(1)
    for place, share in enumerate(shares_of(scores, 3)):
        meeting.send(job(place, 3, port, choose=True, keys=KEYS[place]), share)
    meeting.end()
    assert meeting.results[0].argmax() == scores.argmax()


def test_one_that_came_to_open_the_sum_and_two_that_came_to_select_open_nothing(
    tmp_path: Path,
) -> None:
    meeting, (port,) = Meeting(tmp_path), free_ports(1)
    for place, share in enumerate(shares_of(np.arange(4), 3)):
        meeting.send(job(place, 3, port, choose=place > 0, keys=KEYS[place], timeout_s=15), share)
    meeting.end()
    assert not meeting.results
    assert len(meeting.errors) == 3


def test_each_pair_has_its_keys_and_nobody_else_has_them() -> None:
    for place, role in enumerate(("first", "second")):
        for suffix in ("", "-triples"):
            assert KEYS[place][f"dealer{suffix}"] == KEYS[2][f"{role}{suffix}"]
    dealt = [KEYS[2][name] for name in ("first", "first-triples", "second", "second-triples")]
    assert len(set(dealt)) == 4
    assert KEYS[0]["next"] == KEYS[1]["prev"]
    assert KEYS[0]["prev"] == KEYS[1]["next"]
    assert not {KEYS[0]["next"], KEYS[0]["prev"]} & set(KEYS[2].values())


def test_two_aggregators_do_not_select() -> None:
    it = world(2)
    with pytest.raises(PolicyError) as refused:
        check_can_select(cohort_of(it))
    assert refused.value.code == "selection-needs-three"
    with pytest.raises(PolicyError):
        check_selectors(it.roster)
    check_can_select(COHORT)


@pytest.mark.parametrize("result", [[0, 0], [1, 1], [2, 0], [0, -1]], ids=str)
def test_what_names_no_winner_is_not_signed(result: list[int]) -> None:
    with pytest.raises(PeerError) as refused:
        check_winner(np.array(result))
    assert refused.value.code == "no-winner"


def papers_of(winner: list[int]) -> Papers:
    played = SplitRound(WORLD)
    played.collect()
    vector = to_wire(pack(to_ring(np.array(winner, np.int64))))
    for place in range(3):
        played.take(played.opened(place, vector=vector))
    played.take(StepClosed())
    return Papers(TEXT, played.transcript, WORLD.roster)


def test_a_choice_follows_from_its_papers_and_says_what_it_cost(tmp_path: Path) -> None:
    papers = papers_of([0, 1, 0, 0])
    choice = write_choice(tmp_path / "choice", papers)
    assert choice.winner == "fork"
    document = choice.document
    assert document["candidates"] == ["chain", "fork", "both", "none"]
    assert float(str(document["rho"])) <= 0.1
    assert "no two work together" in str(document["trust"])
    again = verify_choice(tmp_path / "choice", WORLD.roster.canonical)
    assert again.document == document


def test_a_choice_that_was_changed_does_not_verify(tmp_path: Path) -> None:
    write_choice(tmp_path / "choice", papers_of([0, 1, 0, 0]))
    path = tmp_path / "choice" / "selection.json"
    path.write_text(path.read_text().replace('"winner": "fork"', '"winner": "chain"'))
    with pytest.raises(PeerError) as refused:
        verify_choice(tmp_path / "choice", WORLD.roster.canonical)
    assert refused.value.code == "other-choice"
    with pytest.raises(PeerError) as other:
        verify_choice(tmp_path / "choice", world(2).roster.canonical)
    assert other.value.code == "other-roster"


def test_what_aggregators_sign_other_than_one_winner_is_no_choice() -> None:
    with pytest.raises(PeerError) as refused:
        choice_of(papers_of([0, 2, 0, 0]))
    assert refused.value.code == "no-winner"
