"""The journal: counters only grow, and each step of a round is taken once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from client.gate.database import Database
from client.gate.journal import FOLLOWS, SCHEMA, Journal, Opening, Step
from protocol.errors import PolicyError
from protocol.identifiers import Digest, PublicKey, SessionId

NOW = 1_000
STUDY = Digest(b"s" * 32)
COORDINATOR = PublicKey(b"c" * 32)
SURVIVORS = Digest(b"u" * 32)
STEPS = [Step.SHARED, Step.CHARGED, Step.MASKED, Step.AGREED, Step.REVEALED]


def opening(counter: int, coordinator: PublicKey = COORDINATOR) -> Opening:
    session = SessionId(counter.to_bytes(16, "big") + coordinator[:16])
    return Opening(session, coordinator, counter, STUDY)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    database = Database(tmp_path / "gate.sqlite", SCHEMA)
    yield Journal(database)
    database.close()


@pytest.mark.parametrize("counter", [1, 6, 7])
def test_counter_that_is_not_above_the_last_is_refused(journal: Journal, counter: int) -> None:
    journal.begin(opening(7), now=NOW)
    other = Opening(SessionId(b"x" * 32), COORDINATOR, counter, STUDY)
    with pytest.raises(PolicyError) as refused:
        journal.begin(other, now=NOW)
    assert refused.value.code == "counter-not-above-journal"


def test_counters_of_64_bits_keep_their_order(journal: Journal) -> None:
    for counter in (255, 256, 2**63, 2**64 - 1):
        journal.begin(opening(counter), now=NOW)
    assert journal.last_counter(COORDINATOR) == 2**64 - 1


def test_each_coordinator_has_its_own_counter(journal: Journal) -> None:
    journal.begin(opening(7), now=NOW)
    journal.begin(opening(3, PublicKey(b"d" * 32)), now=NOW)


def test_round_that_is_known_is_refused(journal: Journal) -> None:
    journal.begin(opening(7), now=NOW)
    with pytest.raises(PolicyError) as refused:
        journal.begin(opening(7), now=NOW)
    assert refused.value.code == "round-already-run"


def test_steps_are_taken_in_order_and_remembered(journal: Journal) -> None:
    journal.begin(opening(1), now=NOW)
    for step in STEPS:
        survivors = SURVIVORS if step is Step.AGREED else None
        journal.advance(opening(1).session, step, now=NOW + 1, survivors=survivors)
    (record,) = journal.records()
    assert (record.step, record.survivors, record.changed) == (Step.REVEALED, SURVIVORS, NOW + 1)


@pytest.mark.parametrize("step", STEPS)
def test_no_step_is_taken_twice_or_early(journal: Journal, step: Step) -> None:
    journal.begin(opening(1), now=NOW)
    session = opening(1).session
    for earlier in STEPS[: STEPS.index(step) + 1]:
        journal.advance(session, earlier, now=NOW)
    for wrong in set(STEPS) - {after for after, before in FOLLOWS.items() if before is step}:
        with pytest.raises(PolicyError) as refused:
            journal.advance(session, wrong, now=NOW)
        assert refused.value.code == "step-already-taken"


def test_first_survivor_set_stays(journal: Journal) -> None:
    journal.begin(opening(1), now=NOW)
    for step in STEPS:
        other = Digest(b"v" * 32) if step is Step.REVEALED else SURVIVORS
        journal.advance(opening(1).session, step, now=NOW, survivors=other)
    assert journal.records()[0].survivors == SURVIVORS


@pytest.mark.parametrize("after", [0, 3, 4])
def test_abandoned_round_never_goes_on(journal: Journal, after: int) -> None:
    journal.begin(opening(1), now=NOW)
    session = opening(1).session
    reached = Step.ADVERTISED
    for reached in STEPS[:after]:
        journal.advance(session, reached, now=NOW)
    journal.abandon(session, now=NOW)
    with pytest.raises(PolicyError):
        journal.advance(session, STEPS[after], now=NOW)
    with pytest.raises(PolicyError) as refused:
        journal.begin(opening(1), now=NOW)
    assert refused.value.code == "round-lost-in-restart"
    assert journal.unfinished() == ()
    assert (journal.records()[0].step, journal.records()[0].abandoned) == (reached, NOW)


def test_finished_round_is_not_abandoned(journal: Journal) -> None:
    journal.begin(opening(1), now=NOW)
    for step in STEPS:
        journal.advance(opening(1).session, step, now=NOW)
    journal.abandon(opening(1).session, now=NOW)
    assert (journal.records()[0].step, journal.records()[0].abandoned) == (Step.REVEALED, None)


def test_a_flood_of_rounds_ends_for_the_day(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.gate.journal.MAX_ROUNDS_A_DAY", 3)
    for counter in range(1, 4):
        journal.begin(opening(counter), now=NOW)
    with pytest.raises(PolicyError) as refused:
        journal.begin(opening(4), now=NOW)
    assert refused.value.code == "too-many-rounds"
    journal.begin(opening(4), now=NOW + 86_400)
