"""Every (state, message) pair of both machines against the table of legal ones."""

from itertools import product
from typing import get_args

import pytest

from protocol.errors import PeerError
from protocol.secagg import coordinator, coordinator_states, site, site_states
from protocol.secagg.coordinator import CoordinatorState, Event, StepClosed
from protocol.secagg.messages import Opened, SplitVector
from protocol.secagg.site import SiteInput, SiteState
from protocol.secagg.turns import render_mermaid
from tests.support.secagg_network import consortium
from tests.support.secagg_record import record

RECORD = record(consortium(3))
# The others are in tests/faults/test_split_rounds.py.
EVENTS = [kind for kind in get_args(Event) if kind not in {SplitVector, Opened}]
SITE_PAIRS = list(product(get_args(SiteState), get_args(SiteInput)))
COORDINATOR_PAIRS = list(product(get_args(CoordinatorState), EVENTS))


def test_the_tables_name_every_state_and_every_message() -> None:
    assert len(SITE_PAIRS) == 7 * 6
    assert len(COORDINATOR_PAIRS) == 6 * 6
    assert {message for _, message in site_states.LEGAL} == set(get_args(SiteInput))
    assert {event for _, event in coordinator_states.LEGAL} == set(EVENTS)


@pytest.mark.parametrize(("state", "message"), SITE_PAIRS)
def test_a_site_moves_exactly_as_the_table_says(
    state: type[SiteState], message: type[SiteInput]
) -> None:
    before, taken = RECORD.site_states[state], RECORD.site_inputs[message]
    if (state, message) in site.LEGAL:
        after, _ = site.advance(before, taken)
        assert type(after) is site.LEGAL[state, message]
    else:
        with pytest.raises(PeerError) as refused:
            site.advance(before, taken)
        assert refused.value.code == "out-of-turn"
        assert refused.value.culprits == ()


@pytest.mark.parametrize(("state", "event"), COORDINATOR_PAIRS)
def test_the_coordinator_moves_exactly_as_the_table_says(
    state: type[CoordinatorState], event: type[Event]
) -> None:
    before = RECORD.full[state] if event is StepClosed else RECORD.fresh[state]
    taken = RECORD.events[event]
    if (state, event) in coordinator.LEGAL:
        after, _ = coordinator.advance(before, taken)
        assert type(after) is coordinator.LEGAL[state, event]
    else:
        with pytest.raises(PeerError) as refused:
            coordinator.advance(before, taken)
        assert refused.value.code == "out-of-turn"
        assert refused.value.culprits == ()


def test_an_illegal_message_is_told_what_was_awaited() -> None:
    state = RECORD.site_states[site.AwaitingAdverts]
    with pytest.raises(PeerError, match="AwaitingAdverts awaits Adverts, found Contribution"):
        site.advance(state, RECORD.site_inputs[site.Contribution])
    with pytest.raises(PeerError, match="Finished awaits nothing more"):
        site.advance(RECORD.site_states[site.Finished], RECORD.site_inputs[site.Contribution])


def test_the_diagram_of_the_site_has_one_arrow_for_each_legal_pair() -> None:
    lines = render_mermaid(site.LEGAL).splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> AwaitingInvitation"]
    assert "    AwaitingQuorum --> Finished: Quorum" in lines
    assert lines[-1] == "    Finished --> [*]"
    assert len(lines) == len(site.LEGAL) + 3


def test_the_diagram_of_the_coordinator_ends_in_complete() -> None:
    lines = render_mermaid(coordinator.LEGAL).splitlines()
    assert "    CollectingReveals --> Complete: StepClosed" in lines
    assert lines[-1] == "    Complete --> [*]"
    assert len(lines) == len(coordinator.LEGAL) + 3
