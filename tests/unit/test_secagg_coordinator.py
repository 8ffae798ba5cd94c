"""Each check that the coordinator makes, fired once, with its culprit."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from protocol.errors import CohortError, PeerError
from protocol.identifiers import Digest, PublicKey, SessionId, Signature, SiteId
from protocol.secagg import coordinator
from protocol.secagg.coordinator import (
    CollectingVectors,
    Complete,
    CoordinatorState,
    Event,
    StepClosed,
    answered,
    needed,
    pending,
    ready,
    recipients,
    requests,
)
from protocol.secagg.messages import (
    Advert,
    Agreement,
    MaskedVector,
    Reveal,
    Shares,
    SiteMessage,
)
from tests.support.secagg_forgery import resigned
from tests.support.secagg_network import (
    STEPS,
    LoseAnswer,
    answers_of,
    at_step,
    consortium,
    total,
)

WORLD = consortium(5, threshold=3, n_min=4, length=7)
OTHER = Digest(bytes(32))
ANOTHER_SESSION = SessionId(bytes(32))
KINDS: dict[int, type[SiteMessage]] = {
    0: Advert,
    1: Shares,
    2: MaskedVector,
    3: Agreement,
    4: Reveal,
}


def moment(step: int) -> tuple[CoordinatorState, Mapping[int, Any]]:
    """Return the coordinator before any answer of the step, and all honest answers."""
    network = at_step(WORLD, step)
    return network.state, answers_of(network)


MOMENTS = {step: moment(step) for step in STEPS}


def after(state: CoordinatorState, *events: Event) -> CoordinatorState:
    for event in events:
        state, sent = coordinator.advance(state, event)
        assert sent == ({} if not isinstance(event, StepClosed) else requests(state))
    return state


def refuse(state: CoordinatorState, event: Event) -> PeerError:
    with pytest.raises(PeerError) as refused:
        coordinator.advance(state, event)
    return refused.value


@pytest.mark.parametrize("step", STEPS)
def test_who_has_answered_is_no_longer_pending(step: int) -> None:
    state, answers = MOMENTS[step]
    assert pending(state) == set(recipients(state)) == set(range(5))
    state = after(state, answers[3], answers[1])
    assert answered(state) == {1, 3}
    assert pending(state) == {0, 2, 4}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_ready_when_it_may_close(step: int) -> None:
    state, answers = MOMENTS[step]
    enough = 4 if step < 3 else 3
    assert needed(state) == enough
    for count in range(enough):
        assert not ready(state)
        state = after(state, answers[count])
    assert ready(state)
    after(state, StepClosed())


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_closes_one_answer_short_ends_the_round(step: int) -> None:
    state, answers = MOMENTS[step]
    for count in range(needed(state) - 1):
        state = after(state, answers[count])
    with pytest.raises(CohortError) as refused:
        coordinator.advance(state, StepClosed())
    names = ("adverts", "shares", "vectors", "agreements", "reveals")
    assert refused.value.code == f"too-few-{names[step]}"
    assert refused.value.needed == refused.value.found + 1 == needed(state)


@pytest.mark.parametrize("step", STEPS)
def test_the_same_answer_again_changes_nothing(step: int) -> None:
    state, answers = MOMENTS[step]
    once = after(state, answers[2])
    assert after(once, answers[2]) is once


@pytest.mark.parametrize("step", STEPS)
def test_the_state_given_stays_as_it_was(step: int) -> None:
    state, answers = MOMENTS[step]
    after(state, *answers.values())
    assert answered(state) == frozenset()
    if isinstance(state, CollectingVectors):
        assert not state.masked.total.octets.any()


@pytest.mark.parametrize("step", STEPS)
def test_an_answer_of_another_session_is_refused(step: int) -> None:
    state, answers = MOMENTS[step]
    refused = refuse(state, resigned(WORLD, answers[2], session=ANOTHER_SESSION))
    assert (refused.code, refused.culprits) == ("other-session", (2,))


@pytest.mark.parametrize("step", STEPS)
def test_an_answer_that_is_not_signed_is_refused(step: int) -> None:
    state, answers = MOMENTS[step]
    refused = refuse(state, replace(answers[2], signature=Signature(bytes(64))))
    assert (refused.code, refused.culprits) == ("bad-signature", (2,))


@pytest.mark.parametrize("step", STEPS)
def test_an_answer_in_another_sites_name_is_refused(step: int) -> None:
    state, answers = MOMENTS[step]
    refused = refuse(state, replace(answers[2], site=SiteId(3)))
    assert (refused.code, refused.culprits) == ("bad-signature", (3,))


@pytest.mark.parametrize("step", STEPS)
def test_an_answer_of_a_stranger_is_refused(step: int) -> None:
    state, answers = MOMENTS[step]
    refused = refuse(state, replace(answers[2], site=SiteId(5)))
    assert (refused.code, refused.culprits) == ("unknown-site", (5,))


@pytest.mark.parametrize("step", STEPS[1:])
def test_an_answer_of_a_site_that_dropped_out_before_is_refused(step: int) -> None:
    state = at_step(WORLD, step, LoseAnswer(step - 1, 2)).state
    refused = refuse(state, resigned(WORLD, MOMENTS[step][1][2]))
    assert refused.culprits == (2,)
    assert refused.code == "unknown-site"


KEY = PublicKey(bytes(32))
FALSE: dict[str, tuple[int, str, dict[str, Any]]] = {
    "a low-order mask key": (0, "bad-exchange-key", {"mask_key": KEY}),
    "a low-order share key": (0, "bad-exchange-key", {"share_key": KEY}),
    "shares for other adverts": (1, "other-sets", {"adverts_hash": OTHER}),
    "shares for nobody": (1, "misdealt", {"pairs": ()}),
    "a vector for other adverts": (2, "other-sets", {"adverts_hash": OTHER}),
    "a vector for other dealers": (2, "other-sets", {"dealers_hash": OTHER}),
    "a vector too short": (2, "vector-length", {"vector": bytes(48)}),
    "a vector too long": (2, "vector-length", {"vector": bytes(57)}),
    "an agreement on other adverts": (3, "other-sets", {"adverts_hash": OTHER}),
    "an agreement on other dealers": (3, "other-sets", {"dealers_hash": OTHER}),
    "an agreement on other survivors": (3, "other-sets", {"survivors_hash": OTHER}),
    "a reveal for other survivors": (4, "other-sets", {"survivors_hash": OTHER}),
    "a reveal of nothing": (4, "misrevealed", {"shares": ()}),
    "a reveal of zeros": (4, "false-reveal", {"shares": (bytes(33),) * 5}),
}


@pytest.mark.parametrize(("step", "code", "changes"), FALSE.values(), ids=FALSE)
def test_a_false_answer_is_refused_and_its_sender_named(
    step: int, code: str, changes: dict[str, Any]
) -> None:
    state, answers = MOMENTS[step]
    refused = refuse(state, resigned(WORLD, answers[2], **changes))
    assert (refused.code, refused.culprits) == (code, (2,))


SECOND: dict[int, dict[str, Any]] = {
    0: {"self_mask_commitment": OTHER},
    2: {"vector": bytes(WORLD.descriptor.layout.octets)},
}


@pytest.mark.parametrize("step", SECOND)
def test_two_different_answers_in_one_step_are_refused(step: int) -> None:
    state, answers = MOMENTS[step]
    once = after(state, answers[2])
    refused = refuse(once, resigned(WORLD, answers[2], **SECOND[step]))
    assert (refused.code, refused.culprits) == ("second-answer", (2,))


def test_two_different_dealings_are_refused() -> None:
    state, answers = MOMENTS[1]
    first, *others = answers[2].pairs
    again = resigned(WORLD, answers[2], pairs=(replace(first, sealed=bytes(82)), *others))
    refused = refuse(after(state, answers[2]), again)
    assert (refused.code, refused.culprits) == ("second-answer", (2,))


def test_a_key_that_another_site_uses_is_refused() -> None:
    state, answers = MOMENTS[0]
    copied = resigned(WORLD, answers[2], mask_key=answers[3].share_key)
    refused = refuse(after(state, answers[3]), copied)
    assert (refused.code, refused.culprits) == ("duplicate-key", (2,))


def test_pairs_in_another_order_are_refused() -> None:
    state, answers = MOMENTS[1]
    refused = refuse(state, resigned(WORLD, answers[2], pairs=answers[2].pairs[::-1]))
    assert (refused.code, refused.culprits) == ("misdealt", (2,))


def test_a_complete_round_asks_nobody_anything() -> None:
    state, answers = MOMENTS[4]
    complete = after(state, *answers.values(), StepClosed())
    assert isinstance(complete, Complete)
    assert requests(complete) == {}
    assert recipients(complete) == ()
    assert pending(complete) == answered(complete) == frozenset()
    assert ready(complete)
    assert needed(complete) == 0
    assert (complete.sum == total(WORLD, range(5))).all()


def test_t_reveals_of_any_sites_open_the_same_sum() -> None:
    state, answers = MOMENTS[4]
    for chosen in ((0, 1, 2), (4, 2, 3), (0, 2, 4)):
        complete = after(state, *(answers[each] for each in chosen), StepClosed())
        assert isinstance(complete, Complete)
        assert (complete.sum == total(WORLD, range(5))).all()
