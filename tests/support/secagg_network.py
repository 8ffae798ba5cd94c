"""One coordinator and n sites on a pretend network, through the real encodings.

Faults are data: each names a step (0 to 4) and a site, and is played at that point. All
keys and entropy follow from a seed, so a run can be repeated to the byte.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar, cast, get_args

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.errors import CohortError, ConcauseError, PeerError
from protocol.identifiers import Digest, SiteId
from protocol.secagg import coordinator, site
from protocol.secagg.coordinator import Complete, CoordinatorState, Event, StepClosed
from protocol.secagg.descriptor import (
    Descriptor,
    RoundTerms,
    SignedDescriptor,
    sign_descriptor,
)
from protocol.secagg.messages import (
    Adverts,
    CoordinatorMessage,
    Deliveries,
    Quorum,
    SiteMessage,
    Survivors,
    decode_answer,
    decode_request,
    encode_message,
)
from protocol.secagg.ring import Residues, from_wire, pack, unpack
from protocol.secagg.roster import Roster, RosterSite
from protocol.secagg.site import AwaitingContribution, AwaitingInvitation, Contribution, SiteState
from protocol.secagg.transcript import Header, decode, encode_event, encode_header, replay
from protocol.signing import public_key

STEPS = range(5)


@dataclass(frozen=True, slots=True)
class LoseRequest:
    """The site hears nothing in this step."""

    step: int
    site: int


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """The site answers; nothing arrives."""

    step: int
    site: int


@dataclass(frozen=True, slots=True)
class DelayAnswer:
    """The answer arrives after the step is closed."""

    step: int
    site: int


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Request and answer both arrive twice."""

    step: int
    site: int


@dataclass(frozen=True, slots=True)
class CorruptRequest:
    """One bit of the request is flipped; `bit` counts modulo its length."""

    step: int
    site: int
    bit: int


@dataclass(frozen=True, slots=True)
class CorruptAnswer:
    """One bit of the answer is flipped; `bit` counts modulo its length."""

    step: int
    site: int
    bit: int


@dataclass(frozen=True, slots=True)
class RestartSite:
    """The site's process dies before the request comes, and with it the round's state."""

    step: int
    site: int


@dataclass(frozen=True, slots=True)
class RestartCoordinator:
    """The coordinator dies before it closes the step, in the middle of a write."""

    step: int


@dataclass(frozen=True, slots=True)
class Shuffle:
    """Answers of the step arrive in another order."""

    step: int
    seed: int


@dataclass(frozen=True, slots=True)
class Equivocate:
    """The coordinator shows some sites a list without `omitted`, and the others the whole."""

    step: int
    shown: frozenset[int]
    omitted: int


Fault: TypeAlias = (
    LoseRequest
    | LoseAnswer
    | DelayAnswer
    | Duplicate
    | CorruptRequest
    | CorruptAnswer
    | RestartSite
    | RestartCoordinator
    | Shuffle
    | Equivocate
)
_F = TypeVar("_F", bound=Fault)


@dataclass(frozen=True, slots=True)
class Consortium:
    """Keys, roster and round of a simulated consortium."""

    keys: tuple[Ed25519PrivateKey, ...]
    coordinator_key: Ed25519PrivateKey
    roster: Roster
    signed: SignedDescriptor
    seed: str

    @property
    def descriptor(self) -> Descriptor:
        return self.signed.descriptor

    @property
    def terms(self) -> RoundTerms:
        return terms_of(self.descriptor)

    def invited(self, position: int) -> AwaitingInvitation:
        """Return the first state of one site."""
        entropy = secret(self.seed, "entropy", position)
        key = self.keys[position]
        return AwaitingInvitation(SiteId(position), key, self.roster, self.terms, entropy)

    def vector(self, position: int) -> Residues:
        """Return one site's own vector, shape (d,), anywhere in the ring."""
        source = np.random.default_rng([position, *self.seed.encode()])
        anywhere = source.integers(0, 2**64, self.descriptor.length, np.uint64, endpoint=False)
        return wrapped(anywhere, self.descriptor.narrow)

    def residues(self, encoded: bytes) -> Residues:
        """Return the residues of a vector on the wire."""
        return unpack(from_wire(encoded, self.descriptor.layout))

    def issue(self, **changes: int | bytes) -> "Consortium":
        """Return the same consortium in another round."""
        descriptor = replace(self.descriptor, **changes)  # type: ignore[arg-type]
        return replace(self, signed=sign_descriptor(descriptor, self.coordinator_key))


def consortium(
    n: int = 5,
    *,
    length: int = 7,
    narrow: int = 3,
    threshold: int | None = None,
    n_min: int | None = None,
    colluders: int = 0,
    seed: str = "a",
) -> Consortium:
    """Return n sites with the smallest safe threshold, and n_min = t, unless told otherwise."""
    t = threshold if threshold is not None else (n + colluders) // 2 + 1
    keys = tuple(signing_key(seed, "site", i) for i in range(n))
    coordinator_key = signing_key(seed, "coordinator", 0)
    sites = tuple(RosterSite(f"site-{i}", public_key(key)) for i, key in enumerate(keys))
    roster = Roster("consortium", public_key(coordinator_key), sites)
    descriptor = Descriptor(
        counter=1,
        roster_hash=roster.hash,
        study_hash=Digest(secret(seed, "study", 0)),
        plan_hash=Digest(secret(seed, "plan", 0)),
        length=length,
        narrow=min(narrow, length),
        threshold=t,
        n_min=t if n_min is None else n_min,
        colluders=colluders,
        deadline=2_000_000_000,
    )
    return Consortium(
        keys, coordinator_key, roster, sign_descriptor(descriptor, coordinator_key), seed
    )


def secret(seed: str, purpose: str, index: int) -> bytes:
    """Return 32 bytes that stand for fresh randomness."""
    return hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()


def signing_key(seed: str, purpose: str, index: int) -> Ed25519PrivateKey:
    """Return a signing key that follows from the seed."""
    return Ed25519PrivateKey.from_private_bytes(secret(seed, purpose, index))


def terms_of(descriptor: Descriptor) -> RoundTerms:
    """Return the terms that a descriptor exactly meets."""
    return RoundTerms(
        descriptor.roster_hash,
        descriptor.study_hash,
        descriptor.plan_hash,
        descriptor.layout,
        descriptor.threshold,
        descriptor.n_min,
        descriptor.colluders,
        descriptor.aggregation,
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: complete, or the error that ended it; and every refusal on the way."""

    complete: Complete | None
    error: CohortError | PeerError | None
    site_refusals: tuple[tuple[int, int, ConcauseError], ...]  # (step, site, error)
    coordinator_refusals: tuple[tuple[int, PeerError], ...]  # (step, error)
    transcript: bytes


@dataclass
class Network:
    """A run in progress. `states` holds None for a site that lost its state."""

    world: Consortium
    faults: Sequence[Fault] = ()
    states: list[SiteState | None] = field(init=False)
    state: CoordinatorState = field(init=False)
    transcript: bytes = field(init=False)
    late: list[bytes] = field(default_factory=list)
    site_refusals: list[tuple[int, int, ConcauseError]] = field(default_factory=list)
    coordinator_refusals: list[tuple[int, PeerError]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.states = [self.world.invited(i) for i in range(len(self.world.keys))]
        self.state = coordinator.open_round(self.world.signed, self.world.roster)
        self.transcript = encode_header(Header(self.world.roster, self.world.signed))

    def run(self) -> Outcome:
        """Play all five steps."""
        error: CohortError | PeerError | None = None
        try:
            for step in STEPS:
                self.play(step)
                self.take(StepClosed())
        except (CohortError, PeerError) as caught:
            error = caught
        complete = self.state if isinstance(self.state, Complete) else None
        return Outcome(
            complete,
            error,
            tuple(self.site_refusals),
            tuple(self.coordinator_refusals),
            self.transcript,
        )

    def play(self, step: int) -> None:
        """Carry one step's requests and answers, faults included, without closing it."""
        late, self.late = self.late, []
        answers = list(late)
        for recipient, message in coordinator.requests(self.state).items():
            answers += self._exchange(step, recipient, message)
        for fault in self._of(step, Shuffle):
            order = np.random.default_rng(fault.seed).permutation(len(answers))
            answers = [answers[place] for place in order]
        for answer in answers:
            self._arrive(step, answer)
        if self._of(step, RestartCoordinator):
            self._restart()

    def _exchange(self, step: int, recipient: int, message: CoordinatorMessage) -> list[bytes]:
        request = encode_message(self._shown(step, recipient, message))
        for fault in self._of(step, CorruptRequest, recipient):
            request = flip(request, fault.bit)
        if self._of(step, RestartSite, recipient):
            self.states[recipient] = None
        if self._of(step, LoseRequest, recipient):
            return []
        copies = 2 if self._of(step, Duplicate, recipient) else 1
        answers = [a for _ in range(copies) for a in self.deliver(step, recipient, request)]
        return self._returned(step, recipient, answers * copies)

    def _returned(self, step: int, recipient: int, answers: list[bytes]) -> list[bytes]:
        if self._of(step, LoseAnswer, recipient):
            return []
        for fault in self._of(step, CorruptAnswer, recipient):
            answers = [flip(answer, fault.bit) for answer in answers]
        if self._of(step, DelayAnswer, recipient):
            self.late += answers
            return []
        return answers

    def deliver(self, step: int, recipient: int, request: bytes) -> list[bytes]:
        """Give a site a request, and its contribution when it comes to that."""
        state = self.states[recipient]
        if state is None:
            return []
        try:
            state, outbox = site.advance(state, decode_request(request))
        except ConcauseError as error:
            self.site_refusals.append((step, recipient, error))
            return []
        if isinstance(state, AwaitingContribution):
            state, outbox = site.advance(state, Contribution(self.world.vector(recipient)))
        self.states[recipient] = state
        return [encode_message(answer) for answer in outbox]

    def _arrive(self, step: int, answer: bytes) -> None:
        try:
            self.take(decode_answer(answer))
        except PeerError as error:
            self.coordinator_refusals.append((step, error))

    def take(self, event: Event) -> None:
        """Give the coordinator an event; write it down if the machine accepts it."""
        self.state, _ = coordinator.advance(self.state, event)
        self.transcript += encode_event(event)

    def _restart(self) -> None:
        torn = self.transcript + encode_event(StepClosed())[:-1]
        restored = replay(*decode(torn, allow_truncated_tail=True))
        assert isinstance(restored, get_args(CoordinatorState))
        self.state = cast("CoordinatorState", restored)

    def _shown(self, step: int, recipient: int, message: CoordinatorMessage) -> CoordinatorMessage:
        for fault in self._of(step, Equivocate):
            if recipient in fault.shown:
                message = without(message, fault.omitted)
        return message

    def _of(self, step: int, kind: type[_F], recipient: int | None = None) -> list[_F]:
        return [
            fault
            for fault in self.faults
            if isinstance(fault, kind)
            and fault.step == step
            and (recipient is None or getattr(fault, "site", None) == recipient)
        ]


def without(message: CoordinatorMessage, omitted: int) -> CoordinatorMessage:
    """Return the message with one site left out of its list."""
    match message:
        case Adverts(session, adverts):
            return Adverts(session, tuple(a for a in adverts if a.site != omitted))
        case Deliveries(session, deliveries):
            return Deliveries(session, tuple(d for d in deliveries if d.dealer != omitted))
        case Survivors(session, sites):
            return Survivors(session, tuple(s for s in sites if s != omitted))
        case Quorum(session, agreements):
            return Quorum(session, tuple(a for a in agreements if a.site != omitted))
        case _:
            return message


def flip(encoded: bytes, bit: int) -> bytes:
    """Return the bytes with one bit flipped, counted modulo their length."""
    place = bit % (8 * len(encoded))
    changed = bytearray(encoded)
    changed[place // 8] ^= 1 << (place % 8)
    return bytes(changed)


def total(world: Consortium, cohort: Iterable[int]) -> Residues:
    """Return the sum that the protocol must yield for a cohort, computed in the open."""
    summed = np.zeros(world.descriptor.length, np.uint64)
    for position in cohort:
        summed += world.vector(position)
    return wrapped(summed, world.descriptor.narrow)


def wrapped(residues: Residues, narrow: int) -> Residues:
    """Return the residues with the last `narrow` of them modulo 2^32, as signed integers."""
    return unpack(pack(residues, narrow))


def run(world: Consortium, *faults: Fault) -> Outcome:
    """Play a whole round."""
    return Network(world, faults).run()


def at_step(world: Consortium, step: int, *faults: Fault) -> Network:
    """Return a run in which the steps before `step` are over and its requests are due."""
    network = Network(world, faults)
    for earlier in range(step):
        network.play(earlier)
        network.take(StepClosed())
    return network


def request_for(network: Network, recipient: int) -> CoordinatorMessage:
    """Return what the coordinator now asks of one site."""
    return coordinator.requests(network.state)[SiteId(recipient)]


def answers_of(network: Network) -> dict[int, SiteMessage]:
    """Return what each site now answers; the sites move on, the coordinator does not."""
    answers = {}
    for recipient, message in coordinator.requests(network.state).items():
        (answer,) = network.deliver(0, recipient, encode_message(message))
        answers[int(recipient)] = decode_answer(answer)
    return answers
