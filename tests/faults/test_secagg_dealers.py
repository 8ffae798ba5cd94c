"""Dealers and revealers of false shares: each is named, and the others open the sum.

Seven sites, one tolerated colluder: t = 5, as 2t > n + c wants.
"""

from dataclasses import replace

import pytest

from protocol.errors import PeerError
from protocol.secagg import coordinator
from protocol.secagg.coordinator import CollectingReveals, StepClosed
from protocol.secagg.messages import (
    Deliveries,
    Reveal,
    Shares,
)
from protocol.secagg.sharing import PRIME, point, split
from tests.faults.test_secagg_attacks import EVERYONE, WORLD
from tests.support.secagg_forgery import dealing_state, refuse, resigned, sealed, with_pair
from tests.support.secagg_network import (
    LoseAnswer,
    Network,
    answers_of,
    at_step,
    request_for,
    total,
)


def false_pair(dealer: int, receiver: int, plain: bytes, *, committed: bool) -> Network:
    """Return a run in which one dealer deals one false pair, up to its delivery."""
    network = at_step(WORLD, 1)
    dealt = answers_of(network)
    pair = sealed(dealing_state(network, dealer), receiver, plain, committed=committed)
    for position, shares in dealt.items():
        assert isinstance(shares, Shares)
        network.take(with_pair(WORLD, shares, pair) if position == dealer else shares)
    network.take(StepClosed())
    return network


SMALL, LARGE = bytes([0]) + bytes([1]) * 32, (PRIME - 1).to_bytes(33, "big")
FALSE_PLAINS = {
    "false-share": (bytes([1]) * 66, False),
    "false-share, not a field element": (bytes(33) + PRIME.to_bytes(33, "big"), True),
}


@pytest.mark.parametrize(("plain", "committed"), FALSE_PLAINS.values(), ids=FALSE_PLAINS)
def test_a_dealer_of_a_false_share_is_named(plain: bytes, committed: bool) -> None:
    network = false_pair(2, 0, plain, committed=committed)
    refused = refuse(network.states[0], request_for(network, 0))
    assert (refused.code, refused.culprits) == ("false-share", (2,))


def test_a_dealer_of_a_seal_that_does_not_open_is_named() -> None:
    network = at_step(WORLD, 1)
    for position, shares in answers_of(network).items():
        assert isinstance(shares, Shares)
        broken = replace(shares.pairs[0], sealed=bytes(82))
        network.take(with_pair(WORLD, shares, broken) if position == 2 else shares)
    network.take(StepClosed())
    refused = refuse(network.states[0], request_for(network, 0))
    assert (refused.code, refused.culprits) == ("unsealable-pair", (2,))


def test_a_coordinator_that_alters_a_seal_does_not_get_its_dealer_blamed() -> None:
    network = at_step(WORLD, 2)
    request = request_for(network, 0)
    assert isinstance(request, Deliveries)
    third = request.deliveries[2]
    altered = replace(third, pair=replace(third.pair, sealed=bytes(82)))
    given = (*request.deliveries[:2], altered, *request.deliveries[3:])
    refused = refuse(network.states[0], replace(request, deliveries=given))
    assert (refused.code, refused.culprits) == ("bad-signature", ())


def revealing() -> tuple[CollectingReveals, dict[int, Reveal]]:
    """Return the coordinator at the last step with site 6 dropped out, and the reveals."""
    network = at_step(WORLD, 4, LoseAnswer(2, 6))
    reveals = {}
    for position, answer in answers_of(network).items():
        assert isinstance(answer, Reveal)
        reveals[position] = answer
    assert isinstance(network.state, CollectingReveals)
    return network.state, reveals


@pytest.mark.parametrize("dealer", [3, 6], ids=["of a survivor", "of a dropped site"])
def test_a_lying_revealer_is_named_and_the_others_open_the_sum(dealer: int) -> None:
    state, reveals = revealing()
    shares = list(reveals[1].shares)
    shares[dealer] = (int.from_bytes(shares[dealer], "big") ^ 1).to_bytes(33, "big")
    with pytest.raises(PeerError) as refused:
        coordinator.advance(state, resigned(WORLD, reveals[1], shares=tuple(shares)))
    assert (refused.value.code, refused.value.culprits) == ("false-reveal", (1,))
    after: coordinator.CoordinatorState = state
    for position in (0, 2, 3, 4, 5):
        after, _ = coordinator.advance(after, reveals[position])
    after, _ = coordinator.advance(after, StepClosed())
    assert isinstance(after, coordinator.Complete)
    assert (after.sum == total(WORLD, range(6))).all()


@pytest.mark.parametrize("plain", [SMALL * 2, LARGE * 2], ids=["a small share", "a large share"])
def test_a_dealer_whose_committed_shares_recover_nothing_is_named(plain: bytes) -> None:
    network = false_pair(2, 0, plain, committed=True)
    for step in (2, 3, 4):
        network.play(step)
        before = network.state
        if step < 4:
            network.take(StepClosed())
    with pytest.raises(PeerError) as refused:
        coordinator.advance(before, StepClosed())
    assert (refused.value.code, refused.value.culprits) == ("false-dealing", (2,))


def test_a_dealer_of_a_secret_beyond_32_bytes_is_named() -> None:
    network = at_step(WORLD, 1)
    for position, shares in answers_of(network).items():
        assert isinstance(shares, Shares)
        network.take(too_large(network, shares) if position == 2 else shares)
    network.take(StepClosed())
    for step in (2, 3):
        network.play(step)
        network.take(StepClosed())
    network.play(4)
    with pytest.raises(PeerError) as refused:
        coordinator.advance(network.state, StepClosed())
    assert (refused.value.code, refused.value.culprits) == ("false-dealing", (2,))


def too_large(network: Network, shares: Shares) -> Shares:
    """Return a consistent dealing of 2^256 + 5, a field element that is no 32-byte secret."""
    points = [point(receiver) for receiver in EVERYONE]
    dealt = split((2**256 + 5).to_bytes(33, "big"), range(1, 5), points)
    state = dealing_state(network, shares.site)
    pairs = tuple(
        sealed(state, receiver, share * 2, committed=True)
        for receiver, share in zip(EVERYONE, dealt, strict=True)
    )
    return resigned(WORLD, shares, pairs=pairs)


def test_a_dropped_dealer_whose_committed_shares_recover_nothing_is_named() -> None:
    network = false_pair(2, 0, SMALL * 2, committed=True)
    network.faults = (LoseAnswer(2, 2),)
    for step in (2, 3):
        network.play(step)
        network.take(StepClosed())
    network.play(4)
    with pytest.raises(PeerError) as refused:
        coordinator.advance(network.state, StepClosed())
    assert (refused.value.code, refused.value.culprits) == ("false-dealing", (2,))
