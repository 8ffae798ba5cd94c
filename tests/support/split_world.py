"""Whole rounds with aggregators in one process: their CrypTen replaced by adding up in the open."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocol.privacy.plan import compile_plan
from protocol.secagg import split_coordinator, split_site
from protocol.secagg.cohort import sign_message
from protocol.secagg.coordinator_states import Complete, Event, StepClosed
from protocol.secagg.descriptor import Aggregation, sign_descriptor
from protocol.secagg.keys import public_half
from protocol.secagg.messages import Advert, Opened, SplitVector
from protocol.secagg.ring import Packed, Residues, to_wire, zero
from protocol.secagg.roster import RosterAggregator
from protocol.secagg.site_states import Contribution
from protocol.secagg.split import Bound, open_share
from protocol.secagg.split_coordinator import CollectingOpenings, SplitCoordinatorState
from protocol.secagg.split_messages import cohort_hash
from protocol.secagg.transcript import Header, encode_event, encode_header
from protocol.signing import public_key
from protocol.study.document import parse_study
from protocol.terms import terms_of
from tests.support.secagg_network import Consortium, consortium, secret, signing_key, total


def sealing_key(seed: str, place: int) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(secret(seed, "sealing", place))


def split_consortium(n: int = 4, *, aggregators: int = 2, **rules: int | str) -> Consortium:
    """Return the consortium of the masking tests, with aggregators in its roster."""
    world = consortium(n, **rules)  # type: ignore[arg-type]
    named = tuple(
        RosterAggregator(
            f"operator-{place}",
            public_key(signing_key(world.seed, "aggregator", place)),
            public_half(sealing_key(world.seed, place)),
        )
        for place in range(aggregators)
    )
    roster = replace(world.roster, aggregators=named)
    descriptor = replace(
        world.descriptor, roster_hash=roster.hash, aggregation=Aggregation.AGGREGATORS
    )
    signed = sign_descriptor(descriptor, world.coordinator_key)
    return replace(world, roster=roster, signed=signed)


def study_consortium(text: str, n: int, aggregators: int) -> Consortium:
    """Return such a consortium with a round of a study: its plan, widths and cohort rules."""
    study = parse_study(text)
    made = split_consortium(n, aggregators=aggregators)
    terms = terms_of(study, compile_plan(study), made.roster)
    descriptor = replace(
        made.descriptor,
        study_hash=terms.study_hash,
        plan_hash=terms.plan_hash,
        length=terms.layout.length,
        narrow=terms.layout.narrow,
        threshold=terms.threshold,
        n_min=terms.n_min,
        colluders=terms.colluders,
    )
    return replace(made, signed=sign_descriptor(descriptor, made.coordinator_key))


@dataclass
class SplitRound:
    """A run in progress; `events` is all that the coordinator accepted."""

    world: Consortium
    silent: Collection[int] = ()
    state: SplitCoordinatorState = field(init=False)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = split_coordinator.open_round(self.world.signed, self.world.roster)
        self.sites: dict[int, split_site.SplitState] = {
            place: split_site.AwaitingSplitInvitation(self.world.invited(place))
            for place in range(len(self.world.keys))
        }

    def take(self, event: Event) -> None:
        self.state, _ = split_coordinator.advance(self.state, event)
        self.events.append(event)

    def collect(self) -> CollectingOpenings:
        """Play until the aggregators are due; silent sites send an advert and nothing else."""
        for step in range(2):
            for place, request in split_coordinator.requests(self.state).items():
                if step == 1 and place in self.silent:
                    continue
                after, sent = split_site.advance(self.sites[place], request)
                if isinstance(after, split_site.AwaitingSplit):
                    own = Contribution(self.world.vector(place))
                    after, sent = split_site.advance(after, own)
                self.sites[place] = after
                self.take(sent[0])
            self.take(StepClosed())
        assert isinstance(self.state, CollectingOpenings)
        return self.state

    def shares(self, place: int) -> Packed:
        """Return the sum of one aggregator's shares."""
        layout = self.world.descriptor.layout
        summed = zero(layout)
        adverts = {event.site: event for event in self.events if isinstance(event, Advert)}
        for split in self.events:
            if isinstance(split, SplitVector):
                bound = Bound(split.session, split.adverts_hash, split.site)
                keys = (sealing_key(self.world.seed, place), adverts[split.site].share_key)
                summed = summed + open_share(split.shares, bound, layout, place, keys)
        return summed

    def opened(self, place: int, **changes: object) -> Opened:
        """Return what an aggregator signs, or would with other fields."""
        assert isinstance(self.state, CollectingOpenings)
        summed = zero(self.world.descriptor.layout)
        for each in range(len(self.world.roster.aggregators)):
            summed = summed + self.shares(each)
        opened = Opened(
            self.world.descriptor.session,
            place,
            cohort_hash(self.state.payloads),
            split_coordinator.missing_noise(self.world.descriptor, len(self.state.payloads)),
            to_wire(summed),
        )
        key = signing_key(self.world.seed, "aggregator", place)
        return sign_message(replace(opened, **changes), key)  # type: ignore[arg-type]

    def finish(self) -> Complete:
        """Play to the end."""
        self.collect()
        for place in range(len(self.world.roster.aggregators)):
            self.take(self.opened(place))
        self.take(StepClosed())
        assert isinstance(self.state, Complete)
        return self.state

    @property
    def transcript(self) -> bytes:
        header = encode_header(Header(self.world.roster, self.world.signed))
        return header + b"".join(map(encode_event, self.events))


def expected(world: Consortium, silent: Collection[int] = ()) -> Residues:
    """Return the sum over all sites but the silent."""
    return total(world, [place for place in range(len(world.keys)) if place not in silent])


def signed_split(world: Consortium, split: SplitVector, **changes: object) -> SplitVector:
    """Return a site's message with other fields, signed by it again."""
    changed = replace(split, **changes)  # type: ignore[arg-type]
    return sign_message(changed, world.keys[split.site])
