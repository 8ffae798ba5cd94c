"""Rounds with aggregators under the real driver: openings that are late, wrong or missing."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import CohortError, PeerError
from protocol.secagg.messages import Opened, encode_message
from protocol.secagg.split_coordinator import CollectingOpenings
from protocol.secagg.transcript import decode, replay, verify_transcript
from server.rounds.driver import drive
from server.rounds.folder import RoundFolder
from tests.support.driver_kills import TORN, DriverKilledError, kill_at
from tests.support.rounds_world import TIMINGS, FakeClock, LoopbackTransport, doubles, issued
from tests.support.split_world import SplitRound, expected, split_consortium

WORLD = split_consortium(4, threshold=3, n_min=4)
EVENTS = 4 + 1 + 4 + 1 + 2 + 1  # adverts, splits, openings, and the end of each step


@dataclass
class Operators(FakeClock):
    """A clock in whose pauses aggregators look at the round, as they do behind the relay."""

    folder: RoundFolder | None = None
    hand_in: Callable[["Operators", SplitRound], None] = lambda *_: None
    looked: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        assert self.folder is not None
        header, events = decode(self.folder.transcript.read_bytes(), allow_truncated_tail=True)
        state = replay(header, events)
        if isinstance(state, CollectingOpenings):
            self.looked.append(self.slept_s)
            played = SplitRound(WORLD)
            played.state, played.events = state, list(events)
            self.hand_in(self, played)

    def give(self, opened: Opened) -> None:
        """Put a signed sum where the relay puts it."""
        assert self.folder is not None
        self.folder.write_opening(opened.aggregator, encode_message(opened))


def both(operators: Operators, played: SplitRound) -> None:
    for place in range(2):
        operators.give(played.opened(place))


def one(operators: Operators, played: SplitRound) -> None:
    operators.give(played.opened(1))


def late(operators: Operators, played: SplitRound) -> None:
    if len(operators.looked) > 10:
        both(operators, played)


def forged(operators: Operators, played: SplitRound) -> None:
    operators.give(played.opened(1))
    operators.give(replace(played.opened(0), vector=bytes(WORLD.descriptor.layout.octets)))


def disagreeing(operators: Operators, played: SplitRound) -> None:
    operators.give(played.opened(1))
    operators.give(played.opened(0, vector=bytes(WORLD.descriptor.layout.octets)))


def start(tmp_path: Path, hand_in: Callable[[Operators, SplitRound], None]) -> Operators:
    folder = issued(WORLD, tmp_path / "r")
    return Operators(folder=folder, hand_in=hand_in)


def driven(operators: Operators) -> object:
    assert operators.folder is not None
    return drive(operators.folder, LoopbackTransport(doubles(WORLD)), operators, TIMINGS)


@pytest.mark.parametrize("hand_in", [both, late])
def test_a_round_ends_once_all_aggregators_have_handed_in(
    tmp_path: Path, hand_in: Callable[[Operators, SplitRound], None]
) -> None:
    operators = start(tmp_path, hand_in)
    complete = driven(operators)
    assert operators.folder is not None
    np.testing.assert_array_equal(complete.sum, expected(WORLD))  # type: ignore[attr-defined]
    verify_transcript(operators.folder.transcript.read_bytes(), WORLD.roster)
    assert operators.slept_s < TIMINGS.step_timeout_s


@pytest.mark.parametrize("hand_in", [lambda *_: None, one, forged], ids=["none", "one", "forged"])
def test_an_aggregator_that_hands_in_nothing_true_ends_the_round_by_its_time(
    tmp_path: Path, hand_in: Callable[[Operators, SplitRound], None]
) -> None:
    operators = start(tmp_path, hand_in)
    with pytest.raises(CohortError, match="operator-0") as refused:
        driven(operators)
    assert refused.value.code == "too-few-openings"
    assert TIMINGS.step_timeout_s <= operators.slept_s < 2 * TIMINGS.step_timeout_s
    assert operators.folder is not None
    status = operators.folder.read_status()
    assert status is not None
    assert (status.outcome, status.step) == ("refused", "open")


def test_aggregators_that_disagree_end_the_round(tmp_path: Path) -> None:
    with pytest.raises(PeerError) as refused:
        driven(start(tmp_path, disagreeing))
    assert refused.value.code == "aggregators-disagree"


@pytest.mark.parametrize("count", range(EVENTS))
def test_a_driver_killed_at_any_event_is_taken_up_to_the_same_sum(
    tmp_path: Path, count: int
) -> None:
    operators, sites = start(tmp_path, both), doubles(WORLD)
    assert operators.folder is not None
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, count, TORN["inside the event"])
        with pytest.raises(DriverKilledError):
            drive(operators.folder, LoopbackTransport(sites), operators, TIMINGS)
    complete = drive(operators.folder, LoopbackTransport(sites), operators, TIMINGS)
    np.testing.assert_array_equal(complete.sum, expected(WORLD))
