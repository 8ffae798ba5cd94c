"""What the attacks of `test_secagg_attacks` gain where one defence is switched off.

Every test here shows an attack that works, or the second line of defence that still holds; the
table in docs/attacks.md says which.
"""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocol.errors import PeerError
from protocol.identifiers import Digest, PublicKey, SessionId, SiteId
from protocol.secagg import coordinator, dealing, joining, keys, site
from protocol.secagg.cohort import sign_message
from protocol.secagg.coordinator import StepClosed
from protocol.secagg.dealing import Dealing, HeldShares, deal, open_delivery
from protocol.secagg.hashing import sites_hash
from protocol.secagg.keys import (
    RoundSecrets,
    exchange,
    mask_private_key,
    pair_mask_key,
    public_half,
    round_secrets,
    self_mask_commitment,
    self_mask_key,
    share_private_key,
)
from protocol.secagg.masking import MaskKeys, mask
from protocol.secagg.merkle import paths_of
from protocol.secagg.messages import (
    Advert,
    Adverts,
    Deliveries,
    Delivery,
    Invitation,
    MaskedVector,
    Quorum,
    Reveal,
    Shares,
)
from protocol.secagg.ring import Packed, Residues, from_wire, unpack
from protocol.secagg.sharing import point, recover, weights_at_zero
from protocol.secagg.site import AwaitingQuorum, Contribution
from tests.faults.test_secagg_attacks import (
    EVERYONE,
    SESSION,
    WORLD,
    agree,
)
from tests.faults.test_secagg_dealers import false_pair, revealing
from tests.faults.test_secagg_exploration import violations
from tests.support.secagg_exploration import Exploration
from tests.support.secagg_forgery import resigned
from tests.support.secagg_network import (
    Equivocate,
    LoseAnswer,
    answers_of,
    at_step,
    consortium,
    request_for,
    run,
    secret,
    total,
)

VICTIM = SiteId(0)
LAYOUT = WORLD.descriptor.layout


def nothing(*_: object, **__: object) -> None:
    """Stand in for a check."""


def masked_by(answer: object) -> Packed:
    assert isinstance(answer, MaskedVector)
    return from_wire(answer.vector, LAYOUT)


# Signatures by keys of the roster (SPEC 3.3).


class Impostors:
    """All sites but the victim, played by a coordinator that has none of their signing keys."""

    def __init__(self) -> None:
        self.secrets: dict[SiteId, RoundSecrets] = {
            it: round_secrets(secret("impostor", "entropy", it), SESSION) for it in EVERYONE[1:]
        }

    def advert(self, it: SiteId) -> Advert:
        own = self.secrets[it]
        return sign_message(
            Advert(
                SESSION,
                it,
                public_half(mask_private_key(own.mask_seed, SESSION)),
                public_half(share_private_key(own)),
                self_mask_commitment(own.self_mask, SESSION, it),
            ),
            WORLD.coordinator_key,
        )

    def deliveries(self, common: Dealing, own: Shares) -> Deliveries:
        """Return shares for the victim: its own, and those that the impostors deal it."""
        dealt = {VICTIM: own}
        for it, secrets in self.secrets.items():
            pairs = deal(common, it, secrets, WORLD.descriptor.threshold)
            dealt[it] = sign_message(
                Shares(SESSION, it, common.adverts_hash, pairs), WORLD.coordinator_key
            )
        return Deliveries(
            SESSION,
            tuple(
                Delivery(it, dealt[it].pairs[0], paths_of(dealt[it].leaves)[0], dealt[it].signature)
                for it in sorted(dealt)
            ),
        )

    def self_mask_of(self, common: Dealing, own: Shares) -> bytes:
        """Return the victim's self mask, from the shares that it dealt to the impostors."""
        shares = []
        for it, secrets in self.secrets.items():
            path = paths_of(own.leaves)[it]
            delivery = Delivery(VICTIM, own.pairs[it], path, own.signature)
            key = share_private_key(secrets)
            shares.append(open_delivery(common, it, key, delivery).self_mask)
        t = WORLD.descriptor.threshold
        weights = weights_at_zero([point(it) for it in list(self.secrets)[:t]])
        return recover(weights, shares[:t])[1:]


def vector_bared_by_impostors() -> Residues:
    """Return what a coordinator gets out of one site by making up all others."""
    impostors = Impostors()
    state, (own,) = site.advance(WORLD.invited(0), Invitation(WORLD.signed))
    assert isinstance(own, Advert)
    adverts = Adverts(SESSION, (own, *map(impostors.advert, EVERYONE[1:])))
    state, (shares,) = site.advance(state, adverts)
    assert isinstance(shares, Shares)
    common = state.dealing  # type: ignore[union-attr]
    state, _ = site.advance(state, impostors.deliveries(common, shares))
    _, (sent,) = site.advance(state, Contribution(WORLD.vector(0)))
    added = [self_mask_key(impostors.self_mask_of(common, shares), SESSION)]
    for it, secrets in impostors.secrets.items():
        private = mask_private_key(secrets.mask_seed, SESSION)
        added.append(pair_mask_key(private, own.mask_key, SESSION, (VICTIM, it)))
    return unpack(mask(masked_by(sent), MaskKeys((), tuple(added))))


def test_without_signatures_a_coordinator_makes_up_all_others_and_bares_a_vector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(joining, "verify_message", nothing)
    monkeypatch.setattr(dealing, "verify", nothing)
    assert (vector_bared_by_impostors() == WORLD.vector(0)).all()


def test_with_signatures_it_does_not() -> None:
    with pytest.raises(PeerError) as refused:
        vector_bared_by_impostors()
    assert refused.value.code == "bad-signature"


def test_without_a_pinned_roster_a_coordinator_enrols_itself_and_bares_a_vector() -> None:
    """The site holds the roster that it was shown: all but it are the coordinator's."""
    outcome = run(WORLD)
    assert outcome.complete is not None
    known = total(WORLD, range(1, 7))
    found = (outcome.complete.sum - known)[: LAYOUT.wide]
    assert (found == WORLD.vector(0)[: LAYOUT.wide]).all()


# Agreement on all sets (SPEC 4.6.4).


def test_without_agreement_on_the_dealers_a_wrong_sum_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Site 0 was shown dealers without site 6, and has no mask with it; all agree on survivors."""
    none = Digest(bytes(32))

    def survivors_only(state: AwaitingQuorum) -> tuple[Digest, Digest, Digest]:
        return none, none, sites_hash(state.survivors)

    monkeypatch.setattr(site, "_agreed_sets", survivors_only)
    monkeypatch.setattr(site, "check_list", nothing)
    monkeypatch.setattr(coordinator, "_check_sets", nothing)
    monkeypatch.setattr(coordinator, "_check_shares", nothing)
    network = at_step(WORLD, 3, Equivocate(2, frozenset({0}), 6))
    network.play(3)
    network.take(StepClosed())
    reveals = [it for it in answers_of(network).values() if isinstance(it, Reveal)]
    for reveal in reveals:
        if len(reveal.shares) == 7:
            network.take(reveal)
    network.take(StepClosed())
    assert isinstance(network.state, coordinator.Complete)
    assert not (network.state.sum == total(WORLD, network.state.cohort)).all()


def test_without_the_quorum_the_threshold_of_the_shares_still_opens_one_sum_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As 2t > n + c holds for shares as it does for signatures: the second line of defence."""
    monkeypatch.setattr(site, "_check_quorum", nothing)
    assert not violations(Exploration())


def test_without_the_quorum_and_that_threshold_two_sums_are_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(site, "_check_quorum", nothing)
    monkeypatch.setattr(joining, "check_descriptor", nothing)
    assert violations(Exploration(consortium(3, threshold=1, n_min=2)))


def test_without_distinct_signers_one_signature_opens_a_sites_shares(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two groups are led to two sets, each by the signatures of its own; shares still need t."""
    monkeypatch.setattr(site, "check_ascending", nothing)
    network = at_step(WORLD, 3)
    first = [agree(network, position, EVERYONE) for position in range(4)]
    second = [agree(network, position, EVERYONE[:6]) for position in (4, 5)]
    known: dict[str, int] = {"self_mask": 0, "mask_seed": 0}
    for group, name in ((first, "self_mask"), (second, "mask_seed")):
        padded = Quorum(SESSION, (*group, *[group[-1]] * (5 - len(group))))
        for agreement in group:
            state = network.states[agreement.site]
            assert isinstance(state, AwaitingQuorum)
            _, (reveal,) = site.advance(state, padded)
            assert isinstance(reveal, Reveal)
            held = state.held[SiteId(6)]
            assert reveal.shares[6] == getattr(held, name)
            known[name] += 1
    assert known == {"self_mask": 4, "mask_seed": 2}  # of t = 5, even with one colluder's


# What is revealed follows from the agreed sets alone (SPEC 4.6.5).


def test_a_site_that_took_lists_from_the_request_would_bare_a_vector() -> None:
    """As SecAgg+ does: site 6 is named as active and as dropped, and both its secrets are out."""
    network = at_step(WORLD, 4)
    late = answers_of(at_step(WORLD, 2))[6]
    held: list[HeldShares] = []
    for state in network.states[:5]:
        assert isinstance(state, AwaitingQuorum)
        held.append(state.held[SiteId(6)])
    weights = weights_at_zero([point(it) for it in EVERYONE[:5]])
    seed = recover(weights, [it.mask_seed for it in held])[1:]
    own = recover(weights, [it.self_mask for it in held])[1:]
    bare = stripped(masked_by(late), seed)
    assert (
        unpack(mask(bare, MaskKeys((), (self_mask_key(own, SESSION),)))) == WORLD.vector(6)
    ).all()


def stripped(vector: Packed, mask_seed: bytes) -> Packed:
    """Return site 6's vector less its masks with the others."""
    private = mask_private_key(mask_seed, SESSION)
    request = request_for(at_step(WORLD, 1), 0)
    assert isinstance(request, Adverts)
    pair = [
        pair_mask_key(private, advert.mask_key, SESSION, (SiteId(6), advert.site))
        for advert in request.adverts[:6]
    ]
    return mask(vector, MaskKeys(tuple(pair), ()))  # the highest site subtracts all of them


def test_without_the_self_mask_a_late_vector_is_bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its mask seed is revealed since it dropped out; then the vector comes after all."""
    honest = site._mask_keys

    def of_pairs_only(*given: object) -> MaskKeys:
        chosen = honest(*given)  # type: ignore[arg-type]
        return MaskKeys(chosen.added[1:], chosen.subtracted)

    monkeypatch.setattr(site, "_mask_keys", of_pairs_only)
    late = answers_of(at_step(WORLD, 2))[6]
    reveals = answers_of(at_step(WORLD, 4, LoseAnswer(2, 6)))
    shares = [it.shares[6] for it in reveals.values() if isinstance(it, Reveal)]
    weights = weights_at_zero([point(it) for it in EVERYONE[:5]])
    seed = recover(weights, shares[:5])[1:]
    assert (unpack(stripped(masked_by(late), seed)) == WORLD.vector(6)).all()


# The session in every key (SPEC 4.3).


def test_without_the_session_in_the_keys_two_rounds_show_what_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A site restored from a snapshot draws the same entropy twice: its masks must differ."""
    honest = keys.expand
    fixed = SessionId(bytes(32))

    def unsalted(value: bytes, _: SessionId, *rest: object) -> bytes:
        return honest(value, fixed, *rest)  # type: ignore[arg-type]

    def difference() -> Residues:
        first, second = (sent(it) for it in (WORLD, WORLD.issue(counter=2)))
        found: Residues = unpack(first) - unpack(second)
        return found[: LAYOUT.wide]

    assert difference().any()
    monkeypatch.setattr(keys, "expand", unsalted)
    assert not difference().any()


def sent(world: object) -> Packed:
    return masked_by(answers_of(at_step(world, 2))[3])  # type: ignore[arg-type]


# Points of low order (SPEC 4.3).


def test_without_its_own_check_the_library_still_refuses_a_point_of_low_order() -> None:
    own = X25519PrivateKey.from_private_bytes(bytes(range(32)))
    with pytest.raises(ValueError, match="shared key"):
        exchange(own, PublicKey(bytes(32)))


# Commitments and signatures on shares (SPEC 4.4).


def test_without_commitments_to_shares_a_lying_revealer_has_an_honest_dealer_blamed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coordinator, "_check_shares", nothing)
    state, reveals = revealing()
    shares = list(reveals[1].shares)
    shares[3] = (int.from_bytes(shares[3], "big") ^ 1).to_bytes(33, "big")
    lying = resigned(WORLD, reveals[1], shares=tuple(shares))
    after: coordinator.CoordinatorState = state
    for reveal in (reveals[0], lying, *(reveals[it] for it in (2, 3, 4))):
        after, _ = coordinator.advance(after, reveal)
    with pytest.raises(PeerError) as refused:
        coordinator.advance(after, StepClosed())
    assert (refused.value.code, refused.value.culprits) == ("false-dealing", (3,))


def test_a_receiver_that_did_not_check_its_share_would_be_blamed_for_its_dealer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unchecked(common: Dealing, receiver: SiteId, own: X25519PrivateKey, it: Delivery) -> object:
        return dealing._unseal(common, receiver, own, it)

    network = false_pair(2, 0, bytes([1]) * 66, committed=False)
    monkeypatch.setattr(site, "open_delivery", unchecked)
    for step in (2, 3):
        network.play(step)
        network.take(StepClosed())
    with pytest.raises(PeerError) as refused:
        network.take(answers_of(network)[0])
    assert (refused.value.code, refused.value.culprits) == ("false-reveal", (0,))


def test_without_signed_leaves_a_coordinator_has_an_honest_dealer_blamed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dealing, "_check_signed", nothing)
    network = at_step(WORLD, 2)
    request = request_for(network, 0)
    assert isinstance(request, Deliveries)
    third = request.deliveries[2]
    altered = replace(third, pair=replace(third.pair, sealed=bytes(82)))
    given = (*request.deliveries[:2], altered, *request.deliveries[3:])
    state = network.states[0]
    assert state is not None
    with pytest.raises(PeerError) as refused:
        site.advance(state, replace(request, deliveries=given))
    assert (refused.value.code, refused.value.culprits) == ("unsealable-pair", (2,))


# Two rounds (SPEC 4.6.4, 9).


def test_two_rounds_that_differ_in_one_site_differ_by_its_noisy_vector_and_no_less() -> None:
    """Masks hide parts of one sum; the difference of two sums is what only noise protects."""
    outcomes = [run(it, *faults) for it, faults in _TWO_ROUNDS]
    sums = []
    for outcome in outcomes:
        assert outcome.complete is not None
        sums.append(outcome.complete.sum)
    difference = (sums[0] - sums[1])[: LAYOUT.wide]
    assert (difference == WORLD.vector(6)[: LAYOUT.wide]).all()


_TWO_ROUNDS = ((WORLD, ()), (WORLD.issue(counter=2), (LoseAnswer(2, 6),)))
