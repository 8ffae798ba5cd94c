"""What a dishonest coordinator or site may try, one test for each attempt.

Seven sites, one tolerated colluder: t = 5, as 2t > n + c wants.
"""

from dataclasses import replace

import numpy as np
import pytest

from protocol.errors import CohortError, PeerError, PolicyError
from protocol.identifiers import Digest, PublicKey, SiteId
from protocol.secagg import coordinator, site
from protocol.secagg.coordinator import CollectingReveals, StepClosed
from protocol.secagg.dealing import open_delivery
from protocol.secagg.hashing import sites_hash
from protocol.secagg.keys import (
    mask_private_key,
    pair_mask_key,
    public_half,
    self_mask_key,
    share_private_key,
)
from protocol.secagg.masking import MaskKeys, mask
from protocol.secagg.merkle import paths_of
from protocol.secagg.messages import (
    Advert,
    Adverts,
    Agreement,
    Delivery,
    Invitation,
    MaskedVector,
    Quorum,
    Reveal,
    Shares,
    Survivors,
    decode_answer,
    decode_request,
    encode_message,
)
from protocol.secagg.ring import Packed, from_wire, unpack
from protocol.secagg.roster import Roster, RosterSite
from protocol.secagg.sharing import point, recover, weights_at_zero
from protocol.secagg.site import (
    AwaitingContribution,
    AwaitingDeliveries,
    AwaitingQuorum,
    AwaitingSurvivors,
)
from protocol.signing import public_key
from tests.support.secagg_forgery import dealing_state, refuse, resigned
from tests.support.secagg_network import (
    Equivocate,
    LoseAnswer,
    Network,
    answers_of,
    at_step,
    consortium,
    request_for,
    run,
    secret,
    signing_key,
    terms_of,
    total,
    without,
)

WORLD = consortium(7, threshold=5, n_min=5, colluders=1)
EVERYONE = tuple(SiteId(position) for position in range(7))
SESSION = WORLD.descriptor.session


def agree(network: Network, position: int, sites: tuple[SiteId, ...]) -> Agreement:
    """Let a site agree to a survivor set; it moves on."""
    state = network.states[position]
    assert isinstance(state, AwaitingSurvivors)
    network.states[position], (answer,) = site.advance(state, Survivors(SESSION, sites))
    assert isinstance(answer, Agreement)
    return answer


def colluded(network: Network, like: Agreement, position: int) -> Agreement:
    """Return the agreement that a colluding site signs on top of its honest one."""
    return resigned(network.world, replace(like, site=SiteId(position)))


def test_two_survivor_sets_cannot_both_be_agreed_by_honest_sites() -> None:
    network = at_step(WORLD, 3)
    first = [agree(network, position, EVERYONE) for position in range(4)]
    second = [agree(network, position, EVERYONE[:6]) for position in (4, 5)]
    refused = refuse(network.states[0], Quorum(SESSION, (*first, *second)))
    assert refused.code == "other-sets"
    assert refuse(network.states[0], Quorum(SESSION, tuple(first))).code == "quorum-too-small"


def test_one_agreement_repeated_does_not_make_a_quorum() -> None:
    network = at_step(WORLD, 3)
    first = [agree(network, position, EVERYONE) for position in range(4)]
    padded = Quorum(SESSION, (*first, first[3]))
    assert refuse(network.states[0], padded).code == "sites-not-ascending"


def test_a_site_does_not_agree_to_a_second_survivor_set() -> None:
    network = at_step(WORLD, 3)
    agree(network, 0, EVERYONE)
    assert refuse(network.states[0], Survivors(SESSION, EVERYONE[:6])).code == "out-of-turn"


def test_a_colluder_that_signs_twice_does_not_make_a_second_quorum() -> None:
    network = at_step(WORLD, 3)
    first = [agree(network, position, EVERYONE) for position in range(4)]
    second = [agree(network, position, EVERYONE[:6]) for position in (4, 5)]
    with_first = Quorum(SESSION, (*first, colluded(network, first[0], 6)))
    state = network.states[0]
    assert isinstance(state, AwaitingQuorum)
    after, _ = site.advance(state, with_first)
    assert isinstance(after, site.Finished)
    with_second = Quorum(SESSION, tuple(second))
    assert refuse(network.states[4], with_second).code == "quorum-too-small"


def test_a_site_reveals_its_shares_once() -> None:
    network = at_step(WORLD, 4)
    request = request_for(network, 0)
    network.play(4)
    assert isinstance(request, Quorum)
    assert refuse(network.states[0], request).code == "out-of-turn"


def replaced(network: Network, position: int, advert: Advert) -> Adverts:
    request = request_for(network, 0)
    assert isinstance(request, Adverts)
    listed = list(request.adverts)
    listed[position] = advert
    return replace(request, adverts=tuple(listed))


def test_a_coordinator_that_replaces_a_mask_key_is_noticed() -> None:
    network = at_step(WORLD, 1)
    request = request_for(network, 0)
    assert isinstance(request, Adverts)
    own = PublicKey(public_half(mask_private_key(secret("x", "mask", 0), SESSION)))
    swapped = replaced(network, 3, replace(request.adverts[3], mask_key=own))
    assert refuse(network.states[0], swapped).code == "bad-signature"


def test_a_site_outside_the_pinned_roster_does_not_get_in() -> None:
    network = at_step(WORLD, 1)
    request = request_for(network, 0)
    assert isinstance(request, Adverts)
    sybil = replace(request.adverts[3], site=SiteId(7))
    crowd = replace(request, adverts=(*request.adverts, sybil))
    assert refuse(network.states[0], crowd).code == "unknown-site"


def test_a_coordinator_with_another_roster_is_refused() -> None:
    stranger = RosterSite("stranger", public_key(signing_key("x", "stranger", 0)))
    padded = Roster(WORLD.roster.name, WORLD.roster.coordinator, (*WORLD.roster.sites, stranger))
    other = WORLD.issue(roster_hash=padded.hash)
    with pytest.raises(PolicyError) as refused:
        site.advance(WORLD.invited(0), Invitation(other.signed))
    assert refused.value.code == "other-roster"


def test_a_cohort_of_two_is_refused() -> None:
    network = at_step(WORLD, 1)
    request = request_for(network, 0)
    assert isinstance(request, Adverts)
    tiny = replace(request, adverts=request.adverts[:2])
    assert refuse(network.states[0], tiny).code == "cohort-too-small"


def test_a_site_whose_own_advert_is_left_out_does_not_deal() -> None:
    network = at_step(WORLD, 1)
    request = request_for(network, 0)
    assert isinstance(request, Adverts)
    without_it = replace(request, adverts=request.adverts[1:])
    assert refuse(network.states[0], without_it).code == "self-omitted"


def test_sites_that_were_shown_other_adverts_cannot_open_each_others_shares() -> None:
    network = at_step(WORLD, 1)
    request = request_for(network, 0)
    network.deliver(1, 0, encode_message(request))
    (answer,) = network.deliver(1, 1, encode_message(without(request, 6)))
    shares, mine = decode_answer(answer), dealing_state(network, 0)
    assert isinstance(shares, Shares)
    assert shares.adverts_hash != mine.dealing.adverts_hash
    # The coordinator even pads the leaves to the length that site 0 expects.
    path = paths_of((*shares.leaves, shares.leaves[0]))[0]
    delivery = Delivery(SiteId(1), shares.pairs[0], path, shares.signature)
    with pytest.raises(PeerError) as refused:
        open_delivery(mine.dealing, SiteId(0), share_private_key(mine.secrets), delivery)
    assert refused.value.code == "bad-signature"


def test_a_site_masked_for_other_dealers_does_not_agree_with_the_rest() -> None:
    network = at_step(WORLD, 2, Equivocate(2, frozenset({0}), 6))
    network.play(2)
    state = network.states[0]
    assert refuse(state, Survivors(SESSION, EVERYONE)).code == "unknown-site"


def test_a_site_that_lost_its_state_cannot_join_its_round_again() -> None:
    network = at_step(WORLD, 1)
    again = replace(WORLD.invited(2), entropy=secret("x", "entropy", 2))
    state, (advert,) = site.advance(again, Invitation(WORLD.signed))
    assert refuse(state, request_for(network, 2)).code == "own-advert-altered"
    opened = at_step(WORLD, 0)
    opened.play(0)
    with pytest.raises(PeerError) as refused:
        coordinator.advance(opened.state, advert)
    assert (refused.value.code, refused.value.culprits) == ("second-answer", (2,))


NEXT = WORLD.issue(counter=2)


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_requests_of_an_earlier_round_are_refused_in_the_next(step: int) -> None:
    replayed = request_for(at_step(WORLD, step), 0)
    assert refuse(at_step(NEXT, step).states[0], replayed).code == "other-session"


@pytest.mark.parametrize("step", range(5))
def test_answers_of_an_earlier_round_are_refused_in_the_next(step: int) -> None:
    replayed = answers_of(at_step(WORLD, step))[2]
    with pytest.raises(PeerError) as refused:
        coordinator.advance(at_step(NEXT, step).state, replayed)
    assert refused.value.code == "other-session"


def test_sites_that_were_shown_other_studies_share_no_round() -> None:
    """Each agrees to what it approved; that is another session, whose keys open nothing here."""
    other = WORLD.issue(study_hash=Digest(bytes([1]) * 32))
    network = at_step(WORLD, 1)
    _, (stranger,) = site.advance(other.invited(3), Invitation(other.signed))
    assert isinstance(stranger, Advert)
    assert refuse(network.states[0], replaced(network, 3, stranger)).code == "other-session"
    opened = at_step(WORLD, 0)
    with pytest.raises(PeerError) as refused:
        coordinator.advance(opened.state, stranger)
    assert refused.value.code == "other-session"
    with pytest.raises(PolicyError) as unapproved:
        site.advance(WORLD.invited(3), Invitation(other.signed))
    assert unapproved.value.code == "other-study"


def test_adverts_of_an_earlier_round_under_the_next_session_are_refused() -> None:
    earlier, later = request_for(at_step(WORLD, 1), 0), at_step(NEXT, 1)
    assert isinstance(earlier, Adverts)
    disguised = replaced(later, 3, replace(earlier.adverts[3], session=NEXT.descriptor.session))
    assert refuse(later.states[0], disguised).code == "bad-signature"


def test_a_lower_threshold_than_the_study_says_is_refused() -> None:
    lower = WORLD.issue(threshold=2)
    with pytest.raises(PolicyError) as refused:
        site.advance(WORLD.invited(0), Invitation(lower.signed))
    assert refused.value.code == "threshold-below-policy"


def test_a_smaller_cohort_than_the_study_says_is_refused() -> None:
    smaller = WORLD.issue(n_min=2)
    with pytest.raises(PolicyError) as refused:
        site.advance(WORLD.invited(0), Invitation(smaller.signed))
    assert refused.value.code == "cohort-below-policy"


def test_an_unsafe_threshold_is_refused_even_if_the_study_asks_for_it() -> None:
    unsafe = WORLD.issue(threshold=4)
    invited = replace(WORLD.invited(0), terms=terms_of(unsafe.descriptor))
    with pytest.raises(PolicyError) as refused:
        site.advance(invited, Invitation(unsafe.signed))
    assert refused.value.code == "unsafe-threshold"


def test_the_sum_without_a_site_that_dropped_out_late_is_exact() -> None:
    outcome = run(WORLD, LoseAnswer(2, 6))
    assert outcome.complete is not None
    assert outcome.complete.cohort == EVERYONE[:6]
    assert (outcome.complete.sum == total(WORLD, range(6))).all()


def stripped_of_pairs(vector: Packed, mask_seed: bytes, adverts: Adverts) -> Packed:
    """Return site 6's masked vector less its pair masks, as the coordinator may compute it."""
    private = mask_private_key(mask_seed, SESSION)
    keys = tuple(
        pair_mask_key(private, advert.mask_key, SESSION, (SiteId(6), advert.site))
        for advert in adverts.adverts[:6]
    )
    return mask(vector, MaskKeys(keys, ()))


def test_a_vector_that_arrives_after_its_mask_seed_was_revealed_stays_hidden() -> None:
    network = at_step(WORLD, 2)
    late = answers_of(at_step(WORLD, 2))[6]
    network.faults = (LoseAnswer(2, 6),)
    for step in (2, 3):
        network.play(step)
        network.take(StepClosed())
    reveals = answers_of(network)
    weights = weights_at_zero([point(SiteId(each)) for each in range(5)])
    shares = [reveal.shares[6] for reveal in reveals.values() if isinstance(reveal, Reveal)]
    recovered = recover(weights, shares[:5])[1:]
    assert isinstance(network.state, CollectingReveals)
    assert isinstance(late, MaskedVector)
    masked = from_wire(late.vector, WORLD.descriptor.layout)
    bare = stripped_of_pairs(masked, recovered, network.state.dealt.adverts)
    assert (unpack(bare) != WORLD.vector(6)).all()
    seed = dealing_state(at_step(WORLD, 2), 6).secrets.self_mask
    own = mask(bare, MaskKeys((), (self_mask_key(seed, SESSION),)))
    assert (unpack(own) == WORLD.vector(6)).all()


def test_a_reveal_holds_one_share_of_each_dealer_and_never_both() -> None:
    network = at_step(WORLD, 4, LoseAnswer(2, 6))
    state = network.states[0]
    assert isinstance(state, AwaitingQuorum)
    held = state.held
    reveal = answers_of(network)[0]
    assert isinstance(reveal, Reveal)
    expected = [held[SiteId(dealer)].self_mask for dealer in range(6)] + [held[SiteId(6)].mask_seed]
    assert list(reveal.shares) == expected


def test_a_public_key_of_low_order_is_refused() -> None:
    network = at_step(WORLD, 1)
    request = request_for(network, 0)
    assert isinstance(request, Adverts)
    forged = resigned(WORLD, request.adverts[3], mask_key=bytes(32))
    assert refuse(network.states[0], replaced(network, 3, forged)).code == "bad-exchange-key"


def test_a_quorum_for_survivors_that_nobody_announced_is_refused() -> None:
    network = at_step(WORLD, 4)
    state = network.states[0]
    request = request_for(network, 0)
    assert isinstance(request, Quorum)
    others = sites_hash(EVERYONE[:5])
    forged = tuple(resigned(WORLD, each, survivors_hash=others) for each in request.agreements)
    assert refuse(state, replace(request, agreements=forged)).code == "other-sets"


def test_a_request_cannot_name_the_shares_to_reveal() -> None:
    request = encode_message(request_for(at_step(WORLD, 4), 0))
    with pytest.raises(PeerError):
        decode_request(request + bytes([0, 6]))


def test_a_coordinator_alone_cannot_open_the_sum_before_the_quorum() -> None:
    network = at_step(WORLD, 3)
    for position in range(4):
        network.take(agree(network, position, EVERYONE))
    with pytest.raises(CohortError):
        coordinator.advance(network.state, StepClosed())


def test_a_site_that_gave_no_vector_holds_no_seed_to_be_asked_for() -> None:
    network = at_step(WORLD, 2)
    state = dealing_state(network, 0)
    assert isinstance(state, AwaitingDeliveries)
    after, outbox = site.advance(state, request_for(network, 0))
    assert isinstance(after, AwaitingContribution)
    assert outbox == ()


def test_the_vector_that_leaves_a_site_is_not_its_own() -> None:
    answer = answers_of(at_step(WORLD, 2))[0]
    assert isinstance(answer, MaskedVector)
    assert not np.isin(WORLD.residues(answer.vector), WORLD.vector(0)).any()
