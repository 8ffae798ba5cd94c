"""Each check that a site makes, fired once; the honest path is the exhaustive test's."""

from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.errors import PeerError, PolicyError, UsageError
from protocol.identifiers import Digest, PublicKey, SessionId, Signature, SiteId
from protocol.secagg import site
from protocol.secagg.descriptor import sign_descriptor
from protocol.secagg.hashing import sites_hash
from protocol.secagg.messages import (
    Adverts,
    Deliveries,
    Invitation,
    Quorum,
    Survivors,
)
from protocol.secagg.site import (
    AwaitingAdverts,
    AwaitingContribution,
    AwaitingDeliveries,
    AwaitingInvitation,
    AwaitingQuorum,
    AwaitingSurvivors,
    Contribution,
    SiteState,
)
from tests.support.secagg_forgery import resigned
from tests.support.secagg_network import LoseAnswer, at_step, consortium, request_for
from tests.support.secagg_record import record

WORLD = consortium(5, threshold=3, n_min=4)
RECORD = record(WORLD)
INVITED = WORLD.invited(0)
INVITATION = Invitation(WORLD.signed)


_Request = TypeVar("_Request", Adverts, Deliveries, Survivors, Quorum)


def taken(kind: type[_Request]) -> _Request:
    message = RECORD.site_inputs[kind]
    assert isinstance(message, kind)
    return message


ADVERTS, DELIVERIES = taken(Adverts), taken(Deliveries)
SURVIVORS, QUORUM = taken(Survivors), taken(Quorum)
ANOTHER_SESSION = SessionId(bytes(32))
NOTHING = Digest(bytes(32))


def refuse(state: SiteState, message: site.SiteInput) -> PeerError:
    with pytest.raises(PeerError) as refused:
        site.advance(state, message)
    return refused.value


def test_an_invitation_with_a_forged_signature_is_refused() -> None:
    forged = Invitation(replace(WORLD.signed, signature=Signature(bytes(64))))
    assert refuse(INVITED, forged).code == "bad-signature"


def test_an_invitation_signed_by_a_site_is_refused() -> None:
    forged = Invitation(sign_descriptor(WORLD.descriptor, WORLD.keys[1]))
    assert refuse(INVITED, forged).code == "bad-signature"


def test_an_invitation_to_another_study_is_refused() -> None:
    with pytest.raises(PolicyError) as refused:
        site.advance(INVITED, Invitation(WORLD.issue(study_hash=bytes(32)).signed))
    assert refused.value.code == "other-study"


@pytest.mark.parametrize(
    "state", [replace(INVITED, site=SiteId(1)), replace(INVITED, site=SiteId(5))]
)
def test_a_key_that_is_not_in_the_sites_place_is_refused(state: AwaitingInvitation) -> None:
    with pytest.raises(UsageError) as refused:
        site.advance(state, INVITATION)
    assert refused.value.code == "not-in-roster"


def adverts(**changes: object) -> Adverts:
    """Return the adverts with site 2's changed, and signed again by site 2."""
    listed = list(ADVERTS.adverts)
    listed[2] = resigned(WORLD, listed[2], **changes)
    return Adverts(ADVERTS.session, tuple(listed))


LISTED = ADVERTS.adverts
FALSE_ADVERTS: dict[str, tuple[str, Adverts]] = {
    "of another session": ("other-session", replace(ADVERTS, session=ANOTHER_SESSION)),
    "out of order": ("sites-not-ascending", replace(ADVERTS, adverts=LISTED[::-1])),
    "one twice": ("sites-not-ascending", replace(ADVERTS, adverts=(LISTED[0], *LISTED))),
    "without this site": ("self-omitted", replace(ADVERTS, adverts=LISTED[1:])),
    "too few": ("cohort-too-small", replace(ADVERTS, adverts=LISTED[:3])),
    "beyond the roster": (
        "unknown-site",
        replace(ADVERTS, adverts=(*LISTED, replace(LISTED[4], site=SiteId(5)))),
    ),
    "own advert changed": (
        "own-advert-altered",
        replace(ADVERTS, adverts=(resigned(WORLD, LISTED[0], mask_key=bytes(32)), *LISTED[1:])),
    ),
    "one from another session": ("other-session", adverts(session=ANOTHER_SESSION)),
    "one not signed by its site": (
        "bad-signature",
        replace(ADVERTS, adverts=(*LISTED[:4], replace(LISTED[4], mask_key=PublicKey(bytes(32))))),
    ),
    "a low-order mask key": ("bad-exchange-key", adverts(mask_key=bytes(32))),
    "a low-order share key": ("bad-exchange-key", adverts(share_key=bytes(32))),
    "one key for masks and shares": ("duplicate-key", adverts(mask_key=LISTED[2].share_key)),
    "another site's key": ("duplicate-key", adverts(mask_key=LISTED[3].mask_key)),
}


@pytest.mark.parametrize(("code", "message"), FALSE_ADVERTS.values(), ids=FALSE_ADVERTS)
def test_false_adverts_are_refused(code: str, message: Adverts) -> None:
    assert refuse(RECORD.site_states[AwaitingAdverts], message).code == code


GIVEN = DELIVERIES.deliveries
FOR_ANOTHER = request_for(at_step(WORLD, 2), 1)
assert isinstance(FOR_ANOTHER, Deliveries)


FALSE_DELIVERIES: dict[str, tuple[str, Deliveries]] = {
    "of another session": ("other-session", replace(DELIVERIES, session=ANOTHER_SESSION)),
    "out of order": ("sites-not-ascending", replace(DELIVERIES, deliveries=GIVEN[::-1])),
    "without its own": ("self-omitted", replace(DELIVERIES, deliveries=GIVEN[1:])),
    "too few": ("cohort-too-small", replace(DELIVERIES, deliveries=GIVEN[:3])),
    "beyond U1": (
        "unknown-site",
        replace(DELIVERIES, deliveries=(*GIVEN, replace(GIVEN[4], dealer=SiteId(5)))),
    ),
    "for another receiver": ("misdelivered", FOR_ANOTHER),
    "a hash of the path too few": (
        "misdelivered",
        replace(DELIVERIES, deliveries=(replace(GIVEN[0], path=GIVEN[0].path[1:]), *GIVEN[1:])),
    ),
    "a hash of the path too many": (
        "misdelivered",
        replace(
            DELIVERIES,
            deliveries=(replace(GIVEN[0], path=(*GIVEN[0].path, NOTHING)), *GIVEN[1:]),
        ),
    ),
    "a sealed byte changed": (
        "bad-signature",
        replace(
            DELIVERIES,
            deliveries=(
                *GIVEN[:4],
                replace(GIVEN[4], pair=replace(GIVEN[4].pair, sealed=bytes(82))),
            ),
        ),
    ),
    "a path to what the dealer did not sign": (
        "bad-signature",
        replace(
            DELIVERIES,
            deliveries=(
                *GIVEN[:4],
                replace(GIVEN[4], path=(*GIVEN[4].path[:-1], NOTHING)),
            ),
        ),
    ),
}


@pytest.mark.parametrize(("code", "message"), FALSE_DELIVERIES.values(), ids=FALSE_DELIVERIES)
def test_false_deliveries_are_refused(code: str, message: Deliveries) -> None:
    refused = refuse(RECORD.site_states[AwaitingDeliveries], message)
    assert refused.code == code
    assert refused.culprits == ()


@pytest.mark.parametrize(
    "vector",
    [
        np.zeros(6, np.uint64),
        np.zeros((7, 1), np.uint64),
        np.zeros(7, np.int64),
        np.zeros(7, ">u8"),
    ],
    ids=["too short", "two axes", "signed", "big-endian"],
)
def test_a_vector_of_another_shape_is_refused(vector: NDArray[np.uint64]) -> None:
    with pytest.raises(UsageError) as refused:
        site.advance(RECORD.site_states[AwaitingContribution], Contribution(vector))
    assert refused.value.code == "vector-shape"


def test_masking_leaves_the_contribution_alone() -> None:
    vector = WORLD.vector(0)
    vector.setflags(write=False)
    site.advance(RECORD.site_states[AwaitingContribution], Contribution(vector))
    assert (vector == WORLD.vector(0)).all()


def survivors(*sites: int) -> Survivors:
    return Survivors(SURVIVORS.session, tuple(SiteId(each) for each in sites))


FALSE_SURVIVORS: dict[str, tuple[str, Survivors]] = {
    "of another session": ("other-session", replace(SURVIVORS, session=ANOTHER_SESSION)),
    "out of order": ("sites-not-ascending", survivors(0, 2, 1, 3)),
    "one twice": ("sites-not-ascending", survivors(0, 1, 1, 2, 3)),
    "without this site": ("self-omitted", survivors(1, 2, 3, 4)),
    "too few": ("cohort-too-small", survivors(0, 1, 2)),
    "beyond the roster": ("unknown-site", survivors(0, 1, 2, 3, 4, 5)),
}


@pytest.mark.parametrize(("code", "message"), FALSE_SURVIVORS.values(), ids=FALSE_SURVIVORS)
def test_false_survivors_are_refused(code: str, message: Survivors) -> None:
    assert refuse(RECORD.site_states[AwaitingSurvivors], message).code == code


def test_a_survivor_that_never_dealt_its_shares_is_refused() -> None:
    network = at_step(WORLD, 3, LoseAnswer(1, 4))
    state = network.states[0]
    assert isinstance(state, AwaitingSurvivors)
    assert refuse(state, survivors(0, 1, 2, 3, 4)).code == "unknown-site"


AGREED = QUORUM.agreements


def quorum(**changes: object) -> Quorum:
    """Return the quorum with site 2's agreement changed, and signed again by site 2."""
    listed = list(AGREED)
    listed[2] = resigned(WORLD, listed[2], **changes)
    return Quorum(QUORUM.session, tuple(listed))


OTHER_SETS = sites_hash([SiteId(0)])
FALSE_QUORUMS: dict[str, tuple[str, Quorum]] = {
    "of another session": ("other-session", replace(QUORUM, session=ANOTHER_SESSION)),
    "out of order": ("sites-not-ascending", replace(QUORUM, agreements=AGREED[::-1])),
    "one twice": ("sites-not-ascending", replace(QUORUM, agreements=(AGREED[0], *AGREED))),
    "too few": ("quorum-too-small", replace(QUORUM, agreements=AGREED[:2])),
    "one from another session": ("other-session", quorum(session=ANOTHER_SESSION)),
    "one on other adverts": ("other-sets", quorum(adverts_hash=OTHER_SETS)),
    "one on other dealers": ("other-sets", quorum(dealers_hash=OTHER_SETS)),
    "one on other survivors": ("other-sets", quorum(survivors_hash=OTHER_SETS)),
    "one not signed": (
        "bad-signature",
        replace(
            QUORUM, agreements=(*AGREED[:2], replace(AGREED[2], signature=Signature(bytes(64))))
        ),
    ),
    "a stranger": (
        "unknown-site",
        replace(QUORUM, agreements=(*AGREED, replace(AGREED[2], site=SiteId(5)))),
    ),
}


@pytest.mark.parametrize(("code", "message"), FALSE_QUORUMS.values(), ids=FALSE_QUORUMS)
def test_a_false_quorum_is_refused(code: str, message: Quorum) -> None:
    assert refuse(RECORD.site_states[AwaitingQuorum], message).code == code


def test_an_agreement_of_a_site_that_is_no_survivor_is_refused() -> None:
    network = at_step(WORLD, 4, LoseAnswer(2, 4))
    state, request = network.states[0], request_for(network, 0)
    assert isinstance(state, AwaitingQuorum)
    assert isinstance(request, Quorum)
    stranger = resigned(WORLD, request.agreements[2], site=SiteId(4))
    padded = replace(request, agreements=(*request.agreements, stranger))
    assert refuse(state, padded).code == "unknown-site"


def test_t_agreements_are_sent_and_more_are_welcome() -> None:
    assert len(AGREED) == WORLD.descriptor.threshold == 3
    fourth = resigned(WORLD, replace(AGREED[2], site=SiteId(3)))
    for agreements in (AGREED, (*AGREED, fourth)):
        after, (reveal,) = site.advance(
            RECORD.site_states[AwaitingQuorum], replace(QUORUM, agreements=agreements)
        )
        assert isinstance(after, site.Finished)
        assert reveal == RECORD.events[type(reveal)]
