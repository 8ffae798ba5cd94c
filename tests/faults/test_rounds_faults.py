"""Silence, lies, crashes and late comers, played to the round driver without a carrier."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import CohortError, PeerError, StorageError, UsageError
from protocol.identifiers import SiteId
from protocol.secagg.coordinator_states import Complete
from protocol.secagg.messages import Advert, decode_answer, encode_message
from protocol.secagg.site_states import AwaitingAdverts
from protocol.secagg.transcript import decode, verify_transcript
from server.rounds.carrier import Address, Answered, Reply, Transport
from server.rounds.driver import drive
from server.rounds.folder import RoundFolder
from server.rounds.status import RoundStatus
from tests.support.driver_kills import TORN, DriverKilledError, kill_at
from tests.support.rounds_world import (
    FIRST_ADDRESS,
    START,
    TIMINGS,
    FakeClock,
    LoopbackTransport,
    SiteDouble,
    doubles,
    issued,
)
from tests.support.secagg_network import consortium, total

WORLD = consortium(3, threshold=2, n_min=2)
EVENTS = 3 * 5 + 5  # a complete round of three sites: an answer each, and the end of each step


@dataclass
class Unreliable(LoopbackTransport):
    """Keeps back what some sites say from a step on; `steps` counts the pushes."""

    silent_from: Mapping[int, int] = field(default_factory=dict)  # site -> step
    connected_after: int = 0  # looks at the addresses until all are there
    steps: int = -1
    looks: int = 0

    def addresses(self) -> Sequence[Address]:
        self.looks += 1
        found = super().addresses()
        return found if self.looks > self.connected_after else found[:1]

    def push(self, requests: Mapping[Address, bytes], ttl_s: float, known: bytes = b"") -> None:
        self.steps += 1
        super().push(requests, ttl_s, known)

    def pull(self) -> Sequence[Reply]:
        return [reply for reply in super().pull() if not self._silent(reply.address)]

    def _silent(self, address: Address) -> bool:
        return self.steps >= self.silent_from.get(address - FIRST_ADDRESS, 99)


def status_of(folder: RoundFolder) -> RoundStatus:
    status = folder.read_status()
    assert status is not None
    return status


def test_silence_costs_one_timeout_and_not_one_for_each_step_after(tmp_path: Path) -> None:
    folder, clock = issued(WORLD, tmp_path / "round"), FakeClock()
    transport = Unreliable(doubles(WORLD), silent_from={2: 1})
    complete = drive(folder, transport, clock, TIMINGS)
    assert complete.cohort == (0, 1)
    assert clock.slept_s == TIMINGS.step_timeout_s
    assert status_of(folder).sites[2].reason == "no reply within 20 s"


def test_a_round_in_which_all_answer_at_once_never_waits(tmp_path: Path) -> None:
    clock = FakeClock()
    drive(issued(WORLD, tmp_path / "round"), LoopbackTransport(doubles(WORLD)), clock, TIMINGS)
    assert clock.slept_s == 0


@pytest.mark.parametrize("step", range(5))
def test_too_few_survivors_end_the_round_without_a_result(tmp_path: Path, step: int) -> None:
    folder = issued(WORLD, tmp_path / "round")
    transport = Unreliable(doubles(WORLD), silent_from={1: step, 2: step})
    with pytest.raises(CohortError) as caught:
        drive(folder, transport, FakeClock(), TIMINGS)
    status = status_of(folder)
    assert status.outcome == "refused"
    assert status.reason == str(caught.value)
    assert "found 1" in status.reason
    with pytest.raises(PeerError) as unfinished:
        verify_transcript(folder.transcript.read_bytes(), WORLD.roster)
    assert unfinished.value.code == "unfinished-round"


def test_a_round_that_was_refused_is_not_taken_up_again(tmp_path: Path) -> None:
    folder = issued(WORLD, tmp_path / "round")
    with pytest.raises(CohortError):
        drive(folder, Unreliable(doubles(WORLD), silent_from={1: 2, 2: 2}), FakeClock(), TIMINGS)
    before = folder.status.read_bytes()
    transport = Unreliable(doubles(WORLD))
    with pytest.raises(UsageError) as caught:
        drive(folder, transport, FakeClock(), TIMINGS)
    assert caught.value.code == "round-over"
    assert transport.steps == -1
    assert folder.status.read_bytes() == before


def test_a_driver_waits_for_late_sites_to_connect(tmp_path: Path) -> None:
    clock = FakeClock()
    transport = Unreliable(doubles(WORLD), connected_after=5)
    complete = drive(issued(WORLD, tmp_path / "round"), transport, clock, TIMINGS)
    assert complete.cohort == (0, 1, 2)
    assert clock.slept_s == 5 * TIMINGS.poll_interval_s


def test_a_driver_goes_on_without_a_site_that_never_connects(tmp_path: Path) -> None:
    sites = doubles(WORLD)
    del sites[Address(FIRST_ADDRESS + 2)]
    folder, clock = issued(WORLD, tmp_path / "round"), FakeClock()
    assert drive(folder, LoopbackTransport(sites), clock, TIMINGS).cohort == (0, 1)
    assert clock.slept_s == TIMINGS.start_timeout_s
    assert status_of(folder).sites[2].reason == "no advert from it came"


def test_too_few_connected_sites_are_asked_nothing(tmp_path: Path) -> None:
    folder = issued(WORLD, tmp_path / "round")
    transport = Unreliable(doubles(WORLD), connected_after=1000)
    with pytest.raises(CohortError) as caught:
        drive(folder, transport, FakeClock(), TIMINGS)
    assert caught.value.code == "too-few-connected"
    assert transport.steps == -1
    assert status_of(folder).outcome == "refused"


def test_a_round_past_its_deadline_is_refused(tmp_path: Path) -> None:
    world = WORLD.issue(deadline=int(START.timestamp()))
    folder = issued(world, tmp_path / "round")
    with pytest.raises(UsageError) as caught:
        drive(folder, LoopbackTransport(doubles(world)), FakeClock(), TIMINGS)
    assert caught.value.code == "deadline-passed"
    assert status_of(folder).outcome == "refused"


def test_no_step_waits_beyond_the_deadline(tmp_path: Path) -> None:
    world = WORLD.issue(deadline=int(START.timestamp()) + 3)
    transport = Unreliable(doubles(world), silent_from={1: 0, 2: 0})
    clock = FakeClock()
    with pytest.raises(CohortError):
        drive(issued(world, tmp_path / "round"), transport, clock, TIMINGS)
    assert clock.slept_s == 3


@dataclass
class Meddler(LoopbackTransport):
    """Replies go through `meddle`, which sees all of one pull."""

    meddle: Callable[[list[Reply]], list[Reply]] = list

    def pull(self) -> Sequence[Reply]:
        return self.meddle(list(super().pull()))


def bodies(replies: Sequence[Reply]) -> list[tuple[Address, bytes]]:
    return [(reply.address, reply.body) for reply in replies if isinstance(reply, Answered)]


def swapped(replies: list[Reply]) -> list[Reply]:
    """The last two addresses speak with each other's voice."""
    (first, a), (second, b), (third, c) = bodies(replies)
    return [Answered(first, a), Answered(second, c), Answered(third, b)]


def test_addresses_that_swap_their_sites_midway_are_out(tmp_path: Path) -> None:
    world = consortium(4, threshold=3, n_min=2 + 1)
    folder = issued(world, tmp_path / "round")

    def meddle(replies: list[Reply]) -> list[Reply]:
        if any(isinstance(decode_answer(body), Advert) for _, body in bodies(replies)):
            return replies
        first, *rest = replies
        return [first, *swapped(rest)] if len(rest) == 3 else replies

    with pytest.raises(CohortError):
        drive(folder, Meddler(doubles(world), meddle=meddle), FakeClock(), TIMINGS)
    reasons = [site.reason for site in status_of(folder).sites]
    codes = [reason.partition(":")[0] for reason in reasons]
    assert codes == ["", "", "another-site", "another-site"]


def test_a_second_address_with_the_advert_of_a_site_is_a_stranger(tmp_path: Path) -> None:
    sites = doubles(WORLD)
    echo = Address(FIRST_ADDRESS + 9)
    sites[echo] = sites[Address(FIRST_ADDRESS)]
    folder = issued(WORLD, tmp_path / "round")
    assert drive(folder, LoopbackTransport(sites), FakeClock(), TIMINGS).cohort == (0, 1, 2)
    (stranger,) = status_of(folder).strangers
    assert stranger.address == str(echo)
    assert stranger.reason.startswith("second-address")


def test_replies_from_addresses_that_were_not_asked_are_passed_over(tmp_path: Path) -> None:
    intruder = Address(5)

    def meddle(replies: list[Reply]) -> list[Reply]:
        return [Answered(intruder, b"\x10nonsense"), *replies, *replies]

    folder = issued(WORLD, tmp_path / "round")
    complete = drive(folder, Meddler(doubles(WORLD), meddle=meddle), FakeClock(), TIMINGS)
    assert complete.cohort == (0, 1, 2)
    assert status_of(folder).strangers == ()


def test_a_forged_advert_does_not_take_the_place_of_the_true_one(tmp_path: Path) -> None:
    forger = Address(7)  # comes first

    class Forger(SiteDouble):
        def respond(self, body: bytes) -> dict[str, bytes]:
            advert = decode_answer(super().respond(body)["body"])
            assert isinstance(advert, Advert)
            return {"body": encode_message(replace(advert, site=SiteId(2)))}

    sites = {forger: Forger(WORLD, 0), **doubles(WORLD)}
    folder = issued(WORLD, tmp_path / "round")
    assert drive(folder, LoopbackTransport(sites), FakeClock(), TIMINGS).cohort == (0, 1, 2)
    (stranger,) = status_of(folder).strangers
    assert stranger.address == str(forger)
    assert stranger.reason.startswith("bad-signature")


class FalseDealer(SiteDouble):
    """Deals shares of another secret than the one it committed to."""

    def respond(self, body: bytes) -> dict[str, bytes]:
        response = super().respond(body)
        if isinstance(self._state, AwaitingAdverts):
            other = replace(self._state.secrets, self_mask=bytes(32))
            self._state = replace(self._state, secrets=other)
        return response


def test_a_dealer_whose_shares_prove_false_ends_the_round_and_is_named(tmp_path: Path) -> None:
    sites = {**doubles(WORLD), Address(FIRST_ADDRESS + 1): FalseDealer(WORLD, 1)}
    folder = issued(WORLD, tmp_path / "round")
    with pytest.raises(PeerError) as caught:
        drive(folder, LoopbackTransport(sites), FakeClock(), TIMINGS)
    assert (caught.value.code, caught.value.culprits) == ("false-dealing", (1,))
    status = status_of(folder)
    assert status.outcome == "refused"
    assert status.reason.endswith("At fault: site-1.")


@pytest.mark.parametrize("torn", TORN.values(), ids=TORN)
@pytest.mark.parametrize("count", range(EVENTS))
def test_a_driver_killed_at_any_event_is_taken_up_to_the_same_sum(
    tmp_path: Path, count: int, torn: Callable[[bytes], bytes]
) -> None:
    folder, transport = issued(WORLD, tmp_path / "round"), LoopbackTransport(doubles(WORLD))
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, count, torn)
        with pytest.raises(DriverKilledError):
            drive(folder, transport, FakeClock(), TIMINGS)
    assert status_of(folder).outcome == "failed"
    transport.waiting.clear()  # replies of the first process are gone
    complete = drive(folder, transport, FakeClock(), TIMINGS)
    assert complete.cohort == (0, 1, 2)
    np.testing.assert_array_equal(complete.sum, total(WORLD, range(3)))
    verify_transcript(folder.transcript.read_bytes(), WORLD.roster)
    assert {site.state for site in status_of(folder).sites} == {"answered"}


def test_a_driver_killed_at_every_event_in_turn_still_ends(tmp_path: Path) -> None:
    folder, transport = issued(WORLD, tmp_path / "round"), LoopbackTransport(doubles(WORLD))
    for _ in range(EVENTS):
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, 0, TORN["after the event is written"])
            with pytest.raises(DriverKilledError):
                drive(folder, transport, FakeClock(), TIMINGS)
    complete = drive(folder, transport, FakeClock(), TIMINGS)
    np.testing.assert_array_equal(complete.sum, total(WORLD, range(3)))


def test_a_transcript_cut_inside_its_header_is_started_again(tmp_path: Path) -> None:
    folder = issued(WORLD, tmp_path / "whole")
    drive(folder, LoopbackTransport(doubles(WORLD)), FakeClock(), TIMINGS)
    start = folder.transcript.read_bytes()[:40]
    cut = issued(WORLD, tmp_path / "cut")
    cut.transcript.write_bytes(start)
    drive(cut, LoopbackTransport(doubles(WORLD)), FakeClock(), TIMINGS)
    assert cut.transcript.read_bytes() == folder.transcript.read_bytes()


def test_a_complete_round_driven_again_asks_nobody(tmp_path: Path) -> None:
    folder = issued(WORLD, tmp_path / "round")
    first = drive(folder, LoopbackTransport(doubles(WORLD)), FakeClock(), TIMINGS)
    transcript, transport = folder.transcript.read_bytes(), Unreliable({})
    second = drive(folder, transport, FakeClock(), TIMINGS)
    np.testing.assert_array_equal(first.sum, second.sum)
    assert folder.transcript.read_bytes() == transcript
    assert (transport.steps, transport.looks) == (-1, 0)
    assert status_of(folder).outcome == "complete"


def test_a_site_that_moved_while_the_driver_was_down_is_dropped(tmp_path: Path) -> None:
    folder, sites = issued(WORLD, tmp_path / "round"), doubles(WORLD)
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, 6, TORN["after the event is written"])
        with pytest.raises(DriverKilledError):
            drive(folder, LoopbackTransport(sites), FakeClock(), TIMINGS)
    sites[Address(99)] = sites.pop(Address(FIRST_ADDRESS + 2))
    sites[Address(FIRST_ADDRESS + 2)] = SiteDouble(WORLD, 2)  # knows nothing of the round
    complete = drive(folder, LoopbackTransport(sites), FakeClock(), TIMINGS)
    assert complete.cohort == (0, 1)
    assert status_of(folder).sites[2].state == "refused"


def test_a_site_that_moved_before_the_first_step_closed_is_found_again(tmp_path: Path) -> None:
    folder, sites = issued(WORLD, tmp_path / "round"), doubles(WORLD)
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, 2, TORN["after the event is written"])
        with pytest.raises(DriverKilledError):
            drive(folder, LoopbackTransport(sites), FakeClock(), TIMINGS)
    sites[Address(99)] = sites.pop(Address(FIRST_ADDRESS))
    assert drive(folder, LoopbackTransport(sites), FakeClock(), TIMINGS).cohort == (0, 1, 2)


def test_a_driver_that_lost_the_addresses_does_not_guess(tmp_path: Path) -> None:
    folder, sites = issued(WORLD, tmp_path / "round"), doubles(WORLD)
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, 6, TORN["after the event is written"])
        with pytest.raises(DriverKilledError):
            drive(folder, LoopbackTransport(sites), FakeClock(), TIMINGS)
    folder.addresses.unlink()
    with pytest.raises(CohortError):
        drive(folder, LoopbackTransport(sites), FakeClock(), TIMINGS)
    assert {site.reason for site in status_of(folder).sites} == {"not connected"}


@dataclass
class Severed(LoopbackTransport):
    """A carrier that fails by itself."""

    error: Exception = field(default_factory=ConnectionError)

    def pull(self) -> Sequence[Reply]:
        raise self.error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionError(), "A fault in the round driver (ConnectionError)."),
        (StorageError("disk-full", "The disk is full."), "The disk is full."),
    ],
)
def test_a_machine_that_fails_leaves_a_round_that_can_be_taken_up(
    tmp_path: Path, error: Exception, reason: str
) -> None:
    folder = issued(WORLD, tmp_path / "round")
    with pytest.raises(type(error)):
        drive(folder, Severed(doubles(WORLD), error=error), FakeClock(), TIMINGS)
    assert (status_of(folder).outcome, status_of(folder).reason) == ("failed", reason)
    drive(folder, LoopbackTransport(doubles(WORLD)), FakeClock(), TIMINGS)
    assert status_of(folder).outcome == "complete"


def test_two_drivers_of_one_round_do_not_meet(tmp_path: Path) -> None:
    folder = issued(WORLD, tmp_path / "round")
    transport: Transport = LoopbackTransport(doubles(WORLD))
    with folder.open_transcript(), pytest.raises(StorageError) as caught:
        drive(folder, transport, FakeClock(), TIMINGS)
    assert caught.value.code == "round-in-progress"


def test_an_event_is_on_disk_before_anything_that_follows_from_it_is_pushed(
    tmp_path: Path,
) -> None:
    folder = issued(WORLD, tmp_path / "round")
    closed_at_push = []

    class Watching(LoopbackTransport):
        def push(self, requests: Mapping[Address, bytes], ttl_s: float, known: bytes = b"") -> None:
            _, events = decode(folder.transcript.read_bytes())
            closed_at_push.append(len(events))
            super().push(requests, ttl_s, known)

    complete = drive(folder, Watching(doubles(WORLD)), FakeClock(), TIMINGS)
    assert isinstance(complete, Complete)
    assert closed_at_push == [0, 4, 8, 12, 16]
