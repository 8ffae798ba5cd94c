"""What an aggregator is asked to open: checked from the transcript, then its own share of it.

The aggregator replays the round with the machine that the coordinator ran: every signature is
verified again, and the cohort is the one that follows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from numpy.typing import NDArray

from protocol.errors import PeerError, PolicyError
from protocol.identifiers import Digest, SessionId, SiteId
from protocol.privacy.discrete_gaussian import Entropy, sample
from protocol.privacy.plan import StatisticsPlan, compile_plan
from protocol.secagg.descriptor import Descriptor, check_descriptor
from protocol.secagg.messages import Advert, SplitVector
from protocol.secagg.ring import Packed, from_ring, pack, to_ring, unpack, zero
from protocol.secagg.roster import Roster
from protocol.secagg.split import Bound, open_share
from protocol.secagg.split_coordinator import CollectingOpenings, missing_noise
from protocol.secagg.split_messages import cohort_hash
from protocol.secagg.transcript import decode, replay
from protocol.study.document import parse_study
from protocol.terms import check_selectors, terms_of

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cohort:
    """A verified round that waits to be opened."""

    plan: StatisticsPlan
    state: CollectingOpenings
    adverts: Mapping[SiteId, Advert] = field(repr=False)
    splits: Mapping[SiteId, SplitVector] = field(repr=False)

    @property
    def descriptor(self) -> Descriptor:
        """Return the descriptor of the round."""
        return self.state.opening.descriptor

    @property
    def session(self) -> SessionId:
        """Return the id of the round."""
        return self.state.opening.session

    @property
    def hash(self) -> Digest:
        """Return the hash of what is to be opened, to the byte."""
        return cohort_hash(self.state.payloads)

    @property
    def selects(self) -> bool:
        """Return whether only the winner of a selection is opened."""
        return any(block.kind == "scores" for block in self.plan.blocks)

    @property
    def missing(self) -> int:
        """Return how many sites' noise every aggregator has to add."""
        return missing_noise(self.descriptor, len(self.splits))


def read_cohort(study_text: str, transcript: bytes, roster: Roster, *, now: int) -> Cohort:
    """Return the round of a transcript, if this aggregator may help to open it.

    Raises:
        UsageError: the study is not well formed.
        PeerError: the transcript does not replay, or is of another roster or not ready.
        PolicyError: the round is not one of the study, or its deadline has passed.
        CohortError: too few sites are in it.
    """
    header, events = decode(transcript, allow_truncated_tail=True)
    if header.roster != roster:
        raise PeerError("other-roster", "The round is of another roster than the one pinned here.")
    state = replay(header, events)
    if not isinstance(state, CollectingOpenings):
        raise PeerError("out-of-turn", "The round does not wait for openings.")
    study = parse_study(study_text)
    plan, descriptor = compile_plan(study), state.opening.descriptor
    check_descriptor(descriptor, roster, terms_of(study, plan, roster))
    if now > descriptor.deadline:
        raise PolicyError("deadline-passed", "The round's deadline has passed.")
    adverts = {event.site: event for event in events if isinstance(event, Advert)}
    splits = {event.site: event for event in events if isinstance(event, SplitVector)}
    return Cohort(plan, state, adverts, splits)


def own_share(
    cohort: Cohort, place: int, sealing_key: X25519PrivateKey, entropy: Entropy
) -> Integers:
    """Return this aggregator's share of the sum, its part of the missing noise added; shape (d,).

    All aggregators' shares add up modulo 2^64; narrow elements, modulo 2^32.

    Raises:
        PeerError: a site's seal does not open; it is the culprit.
    """
    layout = cohort.descriptor.layout
    total = zero(layout)
    for site in cohort.state.cohort:
        split = cohort.splits[site]
        bound = Bound(split.session, split.adverts_hash, site)
        keys = (sealing_key, cohort.adverts[site].share_key)
        total = total + open_share(split.shares, bound, layout, place, keys)
    share = from_ring(unpack(total))
    for _ in range(cohort.missing):
        share += _noise_of_a_site(cohort.plan, entropy)
    return share


def check_can_select(cohort: Cohort) -> None:
    """Check that there are three aggregators for a selection, one of them to deal.

    Raises:
        PolicyError: there are not.
    """
    if cohort.selects:
        check_selectors(cohort.state.opening.roster)


def check_winner(result: Integers) -> None:
    """Check that exactly one place won.

    Raises:
        PeerError: the aggregators computed something else; nothing is signed.
    """
    if sorted(result.tolist()) != [0] * (result.size - 1) + [1]:
        raise PeerError("no-winner", "The comparison of scores did not name one winner.")


def opened_sum(cohort: Cohort, result: Integers) -> Packed:
    """Return what was opened as it travels, narrow elements modulo 2^32."""
    return pack(to_ring(result), cohort.descriptor.narrow)


def _noise_of_a_site(plan: StatisticsPlan, entropy: Entropy) -> Integers:
    noise = [sample(block.site_scale, block.size, entropy) for block in plan.blocks]
    return np.concatenate(noise)
