"""Whole rounds of secure aggregation, beside Flower's SecAgg+: CPU seconds of each side.

Sites and coordinator are the sans-IO machines. As with Flower, what it takes to turn messages
into bytes and back is left out. A site's seconds are those of one that stays to the end.
"""

import time
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench import secagg_plus
from bench.harness import Measurement, own_peak
from protocol.identifiers import Digest, SiteId
from protocol.secagg import coordinator, site
from protocol.secagg.coordinator import Complete, StepClosed
from protocol.secagg.descriptor import Descriptor, RoundTerms, sign_descriptor
from protocol.secagg.messages import CoordinatorMessage, SiteMessage, encode_message
from protocol.secagg.ring import Residues, pack, unpack
from protocol.secagg.roster import Roster, RosterSite
from protocol.secagg.site import AwaitingContribution, AwaitingInvitation, Contribution, SiteState
from protocol.signing import public_key

_MASKING = 2  # the first step in which a site that drops out is silent


@dataclass
class Cost:
    """What a round took: CPU seconds of the coordinator and of site 0, and its bytes."""

    coordinator: float = 0.0
    site: float = 0.0
    sent: int = 0  # by site 0
    received: int = 0


class _Round:
    """A round in which every site contributes the same vector, and the last ones drop out."""

    def __init__(self, sites: int, length: int, *, narrow: bool, dropped: int) -> None:
        keys = [Ed25519PrivateKey.generate() for _ in range(sites)]
        issuer = Ed25519PrivateKey.generate()
        members = tuple(RosterSite(f"s{at}", public_key(key)) for at, key in enumerate(keys))
        roster = Roster("bench", public_key(issuer), members)
        threshold = sites // 2 + 1
        descriptor = Descriptor(
            counter=1,
            roster_hash=roster.hash,
            study_hash=Digest(bytes(32)),
            plan_hash=Digest(bytes(32)),
            length=length,
            narrow=length if narrow else 0,
            threshold=threshold,
            n_min=threshold,
            colluders=0,
            deadline=2**40,
        )
        terms = RoundTerms(
            *(roster.hash, descriptor.study_hash, descriptor.plan_hash, descriptor.layout),
            *(threshold, threshold, 0),
        )
        self._states: list[SiteState] = [
            AwaitingInvitation(SiteId(at), key, roster, terms, at.to_bytes(32, "big"))
            for at, key in enumerate(keys)
        ]
        self._state = coordinator.open_round(sign_descriptor(descriptor, issuer), roster)
        self._stay = sites - dropped
        self._vector = _anything(descriptor)
        self._expected = unpack(
            pack(self._vector * np.uint64(self._stay), descriptor.layout.narrow)
        )

    def play(self) -> Cost:
        """Play it and return what it took; the sum is checked, bit for bit."""
        cost, requests = Cost(), coordinator.requests(self._state)
        state: coordinator.CoordinatorState = self._state
        for step in range(5):
            for member, request in requests.items():
                if step >= _MASKING and member >= self._stay:
                    continue
                answer = self._answer(member, request, cost)
                began = time.process_time()
                state, _ = coordinator.advance(state, answer)
                cost.coordinator += time.process_time() - began
            began = time.process_time()
            state, requests = coordinator.advance(state, StepClosed())
            cost.coordinator += time.process_time() - began
        if not isinstance(state, Complete) or not np.array_equal(state.sum, self._expected):
            raise AssertionError("the sum of the round is wrong")
        return cost

    def _answer(self, member: SiteId, request: CoordinatorMessage, cost: Cost) -> SiteMessage:
        began = time.process_time()
        after, sent = site.advance(self._states[member], request)
        if isinstance(after, AwaitingContribution):
            after, sent = site.advance(after, Contribution(self._vector))
        self._states[member] = after
        (answer,) = sent
        if member == 0:
            cost.site += time.process_time() - began
            cost.sent += len(encode_message(answer))
            cost.received += len(encode_message(request))
        return answer


def run() -> list[Measurement]:
    """Measure both, the same rounds in turn, then the large rounds and their bytes."""
    return [*_beside_flower(), *_large(50), *_large(200)]


def _beside_flower() -> list[Measurement]:
    found = []
    for dropped in (0, 10):
        _Round(50, 1000, narrow=True, dropped=dropped).play()  # warms up
        ours = [_Round(50, 100_000, narrow=True, dropped=dropped).play() for _ in range(3)]
        theirs = secagg_plus.play(50, 100_000, threshold=26, dropped=dropped)
        ours += [_Round(50, 100_000, narrow=True, dropped=dropped).play() for _ in range(3)]
        label = f"n = 50, d = 1e5, {2 * dropped} % drop out"
        at_site = float(np.median([each.site for each in ours]))
        at_coordinator = float(np.median([each.coordinator for each in ours]))
        found += [
            _slower(f"SecAgg+ over ours, site: {label}", theirs.site, at_site, 12),
            _slower(
                f"SecAgg+ over ours, coordinator: {label}", theirs.coordinator, at_coordinator, 100
            ),
        ]
        wide = [_Round(50, 100_000, narrow=False, dropped=dropped).play() for _ in range(3)]
        found.append(
            _most(f"site, 64 bits: {label}", 1e3 * min(each.site for each in wide), "ms", 50)
        )
    return found


def _large(sites: int) -> list[Measurement]:
    length = 1_000_000
    cost = _Round(sites, length, narrow=True, dropped=sites // 5).play()
    label = f"n = {sites}, d = 1e6, 32 bits, 20 % drop out"
    small = sites == 50
    found = [
        _most(f"coordinator: {label}", cost.coordinator, "s", 0.7 if small else 7),
        _most(f"all sites and the coordinator, peak: {label}", own_peak(), "MB", 1000),
    ]
    if small:
        found.append(_most(f"site: {label}", 1e3 * cost.site, "ms", 100))
    found.append(
        Measurement(
            f"bytes of a site, both ways: {label}",
            (cost.sent + cost.received) / 1e6,
            "MB",
            limit="its vector",
            limit_value=4 * length / 1e6,
            target=1.05 * 4 * length / 1e6,
            targets_ratio=False,
            at_least=False,
        )
    )
    return found


def _slower(name: str, theirs: float, ours: float, target: float) -> Measurement:
    return Measurement(
        name, 1e3 * theirs, "ms", peer="ours, ms", peer_value=1e3 * ours, target=target
    )


def _most(name: str, value: float, unit: str, target: float) -> Measurement:
    return Measurement(name, value, unit, target=target, targets_ratio=False, at_least=False)


def _anything(descriptor: Descriptor) -> Residues:
    anywhere = np.random.default_rng(1).integers(0, 2**64, descriptor.length, np.uint64)
    return unpack(pack(anywhere, descriptor.narrow))
