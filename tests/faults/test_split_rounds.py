"""Rounds with aggregators: the exact sum of the cohort, or a refusal; and what no one can see."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from protocol.errors import CohortError, PeerError, PolicyError
from protocol.identifiers import Digest, PublicKey, SiteId
from protocol.secagg import split_coordinator, split_site
from protocol.secagg.coordinator_states import StepClosed
from protocol.secagg.descriptor import Aggregation, check_descriptor
from protocol.secagg.messages import Adverts, SplitVector
from protocol.secagg.ring import unpack
from protocol.secagg.roster import Roster, RosterAggregator, parse_roster
from protocol.secagg.rounds import open_round
from protocol.secagg.site_states import Contribution
from protocol.secagg.split import Bound, SealedShares, open_share
from protocol.secagg.split_coordinator import CollectingParticipants, CollectingSplits
from protocol.secagg.transcript import verify_transcript
from tests.support.secagg_network import consortium
from tests.support.split_world import (
    SplitRound,
    expected,
    sealing_key,
    signed_split,
    split_consortium,
)

WORLD = split_consortium(4, threshold=3, n_min=4)
OTHER = Digest(bytes(32))


def splits_of(played: SplitRound) -> dict[int, SplitVector]:
    return {event.site: event for event in played.events if isinstance(event, SplitVector)}


def at_splits(silent: tuple[int, ...] = ()) -> tuple[SplitRound, SplitVector]:
    """Return a round that waits for splits, and what site 0 will send."""
    whole = SplitRound(WORLD)
    whole.collect()
    played = SplitRound(WORLD, silent)
    for event in whole.events:
        if isinstance(event, SplitVector):
            break
        played.take(event)
    assert isinstance(played.state, CollectingSplits)
    return played, splits_of(whole)[0]


@pytest.mark.parametrize("aggregators", [2, 3])
def test_the_sum_is_exact(aggregators: int) -> None:
    world = split_consortium(4, aggregators=aggregators)
    complete = SplitRound(world).finish()
    assert (complete.sum == expected(world)).all()
    assert complete.cohort == (0, 1, 2, 3)
    assert complete.noise_shares == 4


@pytest.mark.parametrize("silent", [(0,), (3,)], ids=str)
@pytest.mark.parametrize("aggregators", [2, 3])
def test_a_missing_site_is_not_in_the_sum_and_its_noise_is_made_up_for(
    aggregators: int, silent: tuple[int, ...]
) -> None:
    world = split_consortium(4, aggregators=aggregators, threshold=3, n_min=4)
    complete = SplitRound(world, silent).finish()
    assert (complete.sum == expected(world, silent)).all()
    assert complete.dropped == silent
    assert complete.noise_shares == 3 + aggregators  # each adds a share, whom nobody can trust


def test_fewer_sites_than_the_threshold_open_nothing() -> None:
    with pytest.raises(CohortError) as refused:
        SplitRound(WORLD, (0, 1)).collect()
    assert refused.value.code == "too-few-vectors"


def test_a_transcript_replays_and_no_byte_of_it_can_be_changed() -> None:
    played = SplitRound(WORLD, (1,))
    complete = played.finish()
    transcript = played.transcript
    again = verify_transcript(transcript, WORLD.roster)
    assert (again.sum == complete.sum).all()
    assert again.noise_shares == complete.noise_shares
    for at in range(0, len(transcript), 97):
        changed = bytearray(transcript)
        changed[at] ^= 1
        with pytest.raises((PeerError, PolicyError, CohortError)):
            verify_transcript(bytes(changed), WORLD.roster)


@pytest.mark.parametrize("aggregators", [2, 3])
def test_shares_of_all_but_one_aggregator_are_uniform(aggregators: int) -> None:
    """Whatever the vector is: here it is the same small number, forty thousand times over."""
    world = split_consortium(3, aggregators=aggregators, length=40_000, narrow=20_000)
    played = SplitRound(world)
    played.collect()
    split = splits_of(played)[0]
    bound = Bound(split.session, split.adverts_hash, SiteId(0))
    advert = next(event for event in played.events if getattr(event, "site", None) == 0)
    layout = world.descriptor.layout
    shares = [
        open_share(
            split.shares,
            bound,
            layout,
            place,
            (sealing_key(world.seed, place), advert.share_key),  # type: ignore[union-attr]
        )
        for place in range(aggregators)
    ]
    summed = shares[0]
    for share in shares[1:]:
        summed = summed + share
    assert (unpack(summed) == world.vector(0)).all()
    for some in combinations(range(aggregators), aggregators - 1):
        partial = shares[some[0]]
        for place in some[1:]:
            partial = partial + shares[place]
        histogram = np.bincount(partial.octets, minlength=256)
        assert stats.chisquare(histogram).pvalue > 1e-4
        assert (unpack(partial) != world.vector(0)).mean() > 0.999


def test_a_share_opens_only_with_its_own_aggregators_key() -> None:
    played = SplitRound(WORLD)
    played.collect()
    split = splits_of(played)[2]
    advert = next(event for event in played.events if getattr(event, "site", None) == 2)
    bound = Bound(split.session, split.adverts_hash, SiteId(2))
    for place, key in ((0, 1), (1, 0), (0, 2)):
        keys = (sealing_key(WORLD.seed, key), advert.share_key)  # type: ignore[union-attr]
        with pytest.raises(PeerError) as refused:
            open_share(split.shares, bound, WORLD.descriptor.layout, place, keys)
        assert (refused.value.code, refused.value.culprits) == ("unsealable-share", (2,))
    elsewhere = replace(bound, site=SiteId(1))
    with pytest.raises(PeerError):
        open_share(
            split.shares,
            elsewhere,
            WORLD.descriptor.layout,
            0,
            (sealing_key(WORLD.seed, 0), advert.share_key),  # type: ignore[union-attr]
        )


def test_shares_for_another_number_of_aggregators_are_refused() -> None:
    played, split = at_splits()
    seeds = split.shares.seeds
    for changed in ((), (*seeds, seeds[0])):
        shares = SealedShares(split.shares.vector, changed)
        with pytest.raises(PeerError) as refused:
            played.take(signed_split(WORLD, split, shares=shares))
        assert (refused.value.code, refused.value.culprits) == ("share-count", (0,))


def test_a_vector_of_another_length_is_refused() -> None:
    played, split = at_splits()
    shares = replace(split.shares, vector=split.shares.vector[:-8])
    with pytest.raises(PeerError) as refused:
        played.take(signed_split(WORLD, split, shares=shares))
    assert (refused.value.code, refused.value.culprits) == ("vector-length", (0,))


def test_shares_for_other_participants_are_refused() -> None:
    played, split = at_splits()
    with pytest.raises(PeerError) as refused:
        played.take(signed_split(WORLD, split, adverts_hash=OTHER))
    assert (refused.value.code, refused.value.culprits) == ("other-sets", (0,))


def test_the_same_shares_again_change_nothing_and_others_are_refused() -> None:
    played, split = at_splits()
    played.take(split)
    before = played.state
    played.take(split)
    assert played.state is before
    shares = replace(split.shares, vector=bytes(len(split.shares.vector)))
    with pytest.raises(PeerError) as refused:
        played.take(signed_split(WORLD, split, shares=shares))
    assert refused.value.code == "second-answer"


def test_shares_that_their_site_did_not_sign_are_refused() -> None:
    played, split = at_splits()
    with pytest.raises(PeerError) as refused:
        played.take(replace(split, signature=bytes(64)))  # type: ignore[arg-type]
    assert refused.value.code == "bad-signature"


REFUSED_SUMS: dict[str, tuple[str, dict[str, object]]] = {
    "of other shares": ("other-cohort", {"cohort_hash": OTHER}),
    "with other noise": ("other-noise", {"added": 1}),
    "of another length": ("vector-length", {"vector": bytes(8)}),
    "of another session": ("other-session", {"session": OTHER}),
}


@pytest.mark.parametrize(("code", "changes"), REFUSED_SUMS.values(), ids=REFUSED_SUMS)
def test_a_sum_that_is_not_of_this_round_is_refused(code: str, changes: dict[str, object]) -> None:
    played = SplitRound(WORLD)
    played.collect()
    with pytest.raises(PeerError) as refused:
        played.take(played.opened(0, **changes))
    assert refused.value.code == code


def test_a_sum_that_no_aggregator_of_the_roster_signed_is_refused() -> None:
    played = SplitRound(WORLD)
    played.collect()
    good = played.opened(0)
    for forged, code in (
        (replace(good, aggregator=1), "bad-signature"),
        (replace(good, vector=bytes(len(good.vector))), "bad-signature"),
        (replace(good, aggregator=2), "unknown-aggregator"),
    ):
        with pytest.raises(PeerError) as refused:
            played.take(forged)
        assert refused.value.code == code


def test_aggregators_that_sign_different_sums_open_nothing() -> None:
    played = SplitRound(WORLD)
    played.collect()
    played.take(played.opened(0))
    played.take(played.opened(1, vector=bytes(WORLD.descriptor.layout.octets)))
    with pytest.raises(PeerError) as refused:
        played.take(StepClosed())
    assert refused.value.code == "aggregators-disagree"


def test_an_aggregator_that_signs_two_sums_is_refused() -> None:
    played = SplitRound(WORLD)
    played.collect()
    played.take(played.opened(0))
    with pytest.raises(PeerError) as refused:
        played.take(played.opened(0, vector=bytes(WORLD.descriptor.layout.octets)))
    assert refused.value.code == "second-answer"


def test_without_all_aggregators_nothing_opens_and_the_missing_one_is_named() -> None:
    played = SplitRound(WORLD)
    played.collect()
    played.take(played.opened(1))
    with pytest.raises(CohortError, match="operator-0") as refused:
        played.take(StepClosed())
    assert refused.value.code == "too-few-openings"


def test_every_pair_that_is_not_in_the_tables_is_out_of_turn() -> None:
    played = SplitRound(WORLD)
    opening = played.state
    whole = SplitRound(WORLD)
    whole.finish()
    kinds = {type(event): event for event in whole.events}
    states = [opening]
    for event in whole.events:
        states.append(split_coordinator.advance(states[-1], event)[0])
    for state in {type(each): each for each in states}.values():
        for kind, event in kinds.items():
            if (type(state), kind) not in split_coordinator.LEGAL:
                with pytest.raises(PeerError) as refused:
                    split_coordinator.advance(state, event)
                assert refused.value.code == "out-of-turn"
    site = split_site.Handed(WORLD.descriptor.session, SiteId(0))
    with pytest.raises(PeerError) as refused:
        split_site.advance(site, Contribution(WORLD.vector(0)))
    assert refused.value.code == "out-of-turn"


def test_a_site_that_approved_masking_takes_no_part_with_aggregators() -> None:
    terms = replace(WORLD.terms, aggregation=Aggregation.MASKING)
    with pytest.raises(PolicyError) as refused:
        check_descriptor(WORLD.descriptor, WORLD.roster, terms)
    assert refused.value.code == "other-aggregation"


def test_a_round_for_aggregators_that_the_roster_does_not_name_is_refused() -> None:
    world = consortium(4)
    issued = world.issue(aggregation=Aggregation.AGGREGATORS)
    with pytest.raises(PolicyError) as refused:
        open_round(issued.signed, issued.roster)
    assert refused.value.code == "no-aggregators"


def test_a_site_left_out_of_the_participants_hands_over_nothing() -> None:
    played = SplitRound(WORLD)
    whole = SplitRound(WORLD)
    whole.collect()
    invitation = split_coordinator.requests(played.state)[SiteId(0)]
    assert isinstance(played.state, CollectingParticipants)
    state, _ = split_site.advance(played.sites[0], invitation)
    splitting = next(state for state in _states(whole) if isinstance(state, CollectingSplits))
    shown = splitting.adverts
    for adverts, code in (
        (shown.adverts[1:], "self-omitted"),
        (shown.adverts[:2], "cohort-too-small"),
    ):
        with pytest.raises(PeerError) as refused:
            split_site.advance(state, Adverts(shown.session, adverts))
        assert refused.value.code == code


def _states(played: SplitRound) -> list[split_coordinator.SplitCoordinatorState]:
    states: list[split_coordinator.SplitCoordinatorState] = [SplitRound(played.world).state]
    for event in played.events:
        states.append(split_coordinator.advance(states[-1], event)[0])
    return states


def test_a_roster_names_two_or_three_aggregators_or_none() -> None:
    named = WORLD.roster.aggregators
    assert parse_roster(WORLD.roster.canonical) == WORLD.roster
    for count in (1, 4):
        wrong = [RosterAggregator(f"o-{at}", _key(2 * at), _key(2 * at + 1)) for at in range(count)]
        with pytest.raises(Exception, match="aggregators"):
            replace(WORLD.roster, aggregators=tuple(wrong))
    again = RosterAggregator("other", named[0].key, _key(9))
    with pytest.raises(Exception, match="same key"):
        replace(WORLD.roster, aggregators=(named[0], again))


def _key(number: int) -> PublicKey:
    return PublicKey(bytes([number + 1]) * 32)


def test_a_roster_without_aggregators_has_the_bytes_that_it_had() -> None:
    plain = Roster(WORLD.roster.name, WORLD.roster.coordinator, WORLD.roster.sites)
    assert b"aggregators" not in plain.canonical
    emptied = plain.canonical.replace(b'{"coordinator"', b'{"aggregators":[],"coordinator"')
    with pytest.raises(Exception, match="aggregators"):
        parse_roster(emptied)
