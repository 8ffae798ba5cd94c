"""Drives the coordinator machine from invitation to sum: waiting, dropouts, checkpoints.

Every rule of the protocol is the machine's. What is decided here is only how long to
wait and whom to leave out: a site that refuses, errs or stays silent is out of the step.
"""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress

from protocol.errors import CohortError, ConcauseError, PeerError, StorageError, UsageError
from protocol.identifiers import SiteId
from protocol.secagg.coordinator_states import (
    CollectingAdverts,
    CollectingAgreements,
    CollectingReveals,
    CollectingShares,
    CollectingVectors,
    Complete,
    Event,
    StepClosed,
)
from protocol.secagg.messages import (
    Invitation,
    SiteMessage,
    decode_answer,
    decode_opened,
    encode_message,
)
from protocol.secagg.rounds import RoundState, advance, answered, pending, requests
from protocol.secagg.split_coordinator import (
    CollectingOpenings,
    CollectingParticipants,
    CollectingSplits,
)
from protocol.secagg.transcript import replay
from server.rounds.board import Board
from server.rounds.carrier import Address, Answered, Broken, Declined, Reply, Transport
from server.rounds.checkpoints import KeptCheckpoints
from server.rounds.clock import Clock, Timings
from server.rounds.folder import RoundFolder, TranscriptFile
from server.rounds.status import Outcome, Refusal, RoundStatus, Step, parse_refusal

_STEPS: Mapping[type[RoundState], Step] = {
    CollectingAdverts: "advertise",
    CollectingShares: "share",
    CollectingVectors: "mask",
    CollectingAgreements: "agree",
    CollectingReveals: "reveal",
    CollectingParticipants: "advertise",
    CollectingSplits: "split",
    CollectingOpenings: "open",
}
_FIRST = (CollectingAdverts, CollectingParticipants)


def drive(folder: RoundFolder, transport: Transport, clock: Clock, timings: Timings) -> Complete:
    """Return the outcome of the round in `folder`, begun here or taken up from its transcript.

    `status.json` says at every moment, and in the end, what happened.

    Raises:
        CohortError: too few sites connected or answered; nothing was revealed.
        PeerError: a site's false shares keep the sum from being opened.
        UsageError: the round is over already, or its deadline has passed.
        StorageError: another process drives this round.
    """
    with folder.open_transcript() as transcript:
        _check_not_over(folder)
        board = Board(folder, transcript.header, clock)
        try:
            complete = _Drive(folder, transcript, board, transport, clock, timings).run()
        except ConcauseError as error:
            board.close(_outcome(error), _reason(error, board.status))
            raise
        except Exception as error:
            board.close("failed", f"A fault in the round driver ({type(error).__name__}).")
            raise
        board.close("complete")
        return complete


def _check_not_over(folder: RoundFolder) -> None:
    status = folder.read_status()
    if status is not None and status.outcome == "refused":
        raise UsageError(
            "round-over",
            f"Expected a round to go on with, found one that ended: {status.reason}",
            "Issue a new round.",
        )


def _outcome(error: ConcauseError) -> Outcome:
    """Return "failed" where machines failed and the round can be taken up again."""
    return "failed" if isinstance(error, StorageError) else "refused"


def _reason(error: ConcauseError, status: RoundStatus) -> str:
    """Return why the round ended: the error, who is at fault, with which codes sites refused."""
    parts = [str(error)]
    if isinstance(error, PeerError) and error.culprits:
        names = ", ".join(status.sites[culprit].name for culprit in error.culprits)
        parts.append(f"At fault: {names}.")
    refusals = [site.refusal for site in status.sites]
    refusals += [stranger.refusal for stranger in status.strangers]
    codes = Counter(refusal.code for refusal in refusals if refusal is not None)
    if codes:
        counted = ", ".join(f"{code} ({count})" for code, count in sorted(codes.items()))
        parts.append(f"Sites refused: {counted}.")
    return " ".join(parts)


class _Drive:
    """One run of the driver: the machine's state, and which address speaks for which site."""

    def __init__(
        self,
        folder: RoundFolder,
        transcript: TranscriptFile,
        board: Board,
        transport: Transport,
        clock: Clock,
        timings: Timings,
    ) -> None:
        self._folder = folder
        self._transcript = transcript
        self._board = board
        self._transport = transport
        self._clock = clock
        self._timings = timings
        self._state: RoundState = replay(transcript.header, transcript.events)
        # In the first step every site says again who it is.
        first = isinstance(self._state, _FIRST)
        self._sites = {} if first else folder.read_addresses(transcript.header.roster)
        self._wanted = folder.read_sites()
        self._checkpoints = KeptCheckpoints(folder.path.parent)

    def run(self) -> Complete:
        """Return the end state."""
        state = self._state
        if not isinstance(state, Complete):
            self._connect()
        while not isinstance(state, Complete):
            state = self._step(state)
        return state

    def _connect(self) -> None:
        """Wait for all that this step asks; for a new round, insist on its smallest cohort."""
        end = self._clock.monotonic() + self._within_deadline(self._timings.start_timeout_s)
        wanted = len(pending(self._state))
        while (connected := len(self._transport.addresses())) < wanted:
            if self._clock.monotonic() >= end:
                break
            self._clock.sleep(self._timings.poll_interval_s)
        needed = self._transcript.header.signed.descriptor.smallest_cohort
        if connected < needed and isinstance(self._state, _FIRST):
            raise CohortError(
                "too-few-connected",
                f"The round needs {needed} connected sites, found {connected}.",
                "Nothing was asked of any site; have the others started, then issue a new round.",
                found=connected,
                needed=needed,
            )

    def _step(self, state: RoundState) -> RoundState:
        """Ask whom this step still waits for, take what comes, close the step."""
        self._board.enter(_STEPS[type(state)], pending(state), answered(state))
        first = isinstance(state, _FIRST)
        if isinstance(state, CollectingOpenings):
            self._await_openings()
        else:
            known = self._checkpoints.together(self._transcript.header.roster) if first else b""
            self._exchange(self._invitations() if first else self._requests(state), known)
            self._checkpoints.write()
        for site in pending(self._state):
            if self._board.status.sites[site].state == "pending":
                self._board.out(site, "no advert from it came" if first else "not connected")
        self._apply(StepClosed())
        return self._state

    def _invitations(self) -> Mapping[Address, bytes]:
        """Return the invitation for every address: nobody knows yet which is which site."""
        invitation = encode_message(Invitation(self._transcript.header.signed))
        return dict.fromkeys(self._transport.addresses(), invitation)

    def _requests(self, state: RoundState) -> Mapping[Address, bytes]:
        """Return this step's request for each pending site that has an address."""
        messages, waiting = requests(state), pending(state)
        return {
            address: encode_message(messages[site])
            for address, site in self._sites.items()
            if site in waiting
        }

    def _take(self, address: Address, message: SiteMessage, checkpoint: bytes) -> None:
        self._check_speaker(address, message.site)
        if not self._is_wanted(message.site):
            self._board.out(message.site, "is not in the sum that this round follows")
            return
        self._apply(message)
        self._bind(address, message.site)
        site = self._transcript.header.roster.sites[message.site]
        self._checkpoints.take(site.key, checkpoint)
        self._board.answered(message.site)

    def _exchange(self, outgoing: Mapping[Address, bytes], known: bytes) -> None:
        """Push, then pull until every address has answered or the step's time is over."""
        timeout = self._within_deadline(self._timings.step_timeout_s)
        waiting = set(outgoing)
        self._transport.push(outgoing, timeout, known)
        end = self._clock.monotonic() + timeout
        while waiting and self._clock.monotonic() < end:
            replies = [reply for reply in self._transport.pull() if reply.address in waiting]
            for reply in replies:
                waiting.discard(reply.address)
                self._receive(reply)
            if not replies:
                self._clock.sleep(self._timings.poll_interval_s)
        for address in sorted(waiting):
            self._out(address, f"no reply within {timeout:.0f} s")

    def _await_openings(self) -> None:
        """Take the sums that the aggregators hand in at the coordinator's service."""
        end = self._clock.monotonic() + self._within_deadline(self._timings.step_timeout_s)
        while self._clock.monotonic() < end:
            for place, document in self._folder.read_openings().items():
                self._take_opening(place, document)
            if isinstance(self._state, CollectingOpenings) and not self._state.awaited:
                break
            self._clock.sleep(self._timings.poll_interval_s)

    def _take_opening(self, place: int, document: bytes) -> None:
        with suppress(PeerError):  # the service has refused what does not verify
            opened = decode_opened(document)
            if opened.aggregator == place:
                self._apply(opened)

    def _receive(self, reply: Reply) -> None:
        """Take an answer, or leave its sender out of this step, saying why."""
        try:
            match reply:
                case Answered(address, body, checkpoint):
                    self._take(address, decode_answer(body), checkpoint)
                case Declined(address, document):
                    self._refused(address, document)
                case Broken(address, reason):
                    self._out(address, reason)
        except PeerError as error:
            self._out(reply.address, f"{error.code}: {error}")

    def _apply(self, event: Event) -> None:
        """Move the machine; the event is on disk before anything can follow from it."""
        after, _ = advance(self._state, event)
        if after is not self._state:  # an answer that was in already leaves no second trace
            self._transcript.append(event)
            self._state = after

    def _check_speaker(self, address: Address, site: SiteId) -> None:
        if self._sites.get(address, site) != site:
            raise PeerError("another-site", "The address speaks for another site than before.")
        if address not in self._sites and site in self._sites.values():
            raise PeerError("second-address", "Another address speaks for this site already.")

    def _is_wanted(self, site: SiteId) -> bool:
        sites = self._transcript.header.roster.sites
        return self._wanted is None or site >= len(sites) or sites[site].name in self._wanted

    def _bind(self, address: Address, site: SiteId) -> None:
        if address not in self._sites:
            self._sites[address] = site
            self._folder.write_addresses(self._transcript.header.roster, self._sites)

    def _refused(self, address: Address, document: bytes) -> None:
        refusal = parse_refusal(document)
        reason = f"{refusal.category}/{refusal.code}: {refusal.cause}"
        self._out(address, reason, refusal)

    def _out(self, address: Address, reason: str, refusal: Refusal | None = None) -> None:
        site = self._sites.get(address)
        if site is None:
            self._board.stranger(address, reason, refusal)
        else:
            self._board.out(site, reason, refusal)

    def _within_deadline(self, seconds: float) -> float:
        """Return `seconds`, or what is left until the round's deadline if that is less.

        Raises:
            UsageError: nothing is left.
        """
        deadline = self._transcript.header.signed.descriptor.deadline
        left = deadline - self._clock.now().timestamp()
        if left <= 0:
            raise UsageError(
                "deadline-passed",
                "The round's deadline has passed; no site answers after it.",
                "Issue a new round.",
            )
        return min(seconds, left)
