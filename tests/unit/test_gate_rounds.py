"""A whole round through real gates, and each refusal with its own code, kept in the ledger."""

from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.gate.gate import Gate
from client.gate.journal import Step
from client.gate.ledger import Balance, Kind
from client.measure.noise import add_noise
from protocol import canonical
from protocol.errors import BudgetError, PeerError, PolicyError
from protocol.identifiers import Digest, SessionId
from protocol.secagg.descriptor import SignedDescriptor
from protocol.secagg.messages import Adverts, Invitation, Survivors, encode_message
from protocol.secagg.ring import from_ring
from protocol.secagg.roster import Roster
from protocol.signing import public_key
from protocol.study.document import parse_study
from tests.support.site_world import (
    DEADLINE,
    NOW,
    STUDY,
    Exchange,
    PretendedRecords,
    World,
    entries,
    key,
    site_ids,
    statistics,
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(World(tmp_path)) as world:
        yield world


@pytest.fixture
def gates(world: World) -> dict[int, Gate]:
    return {site: world.open(site) for site in range(world.sites)}


def invite(signed: SignedDescriptor) -> bytes:
    return encode_message(Invitation(signed))


def refused(gate: Gate, body: bytes, now: int = NOW) -> str:
    """Return the code under which a gate refuses, having checked that its ledger shows it."""
    before = len(entries(gate, Kind.REFUSAL))
    refusal = canonical.decode(gate.respond(body, now=now)["refusal"])
    assert isinstance(refusal, dict)
    entry = entries(gate, Kind.REFUSAL)[before]
    assert entry.incident == refusal["id"]
    assert refusal["code"] in {entry.code, "site-not-ready"}
    return str(entry.code)


def test_round_reveals_the_sum_and_charges_each_site_once(
    world: World, gates: dict[int, Gate]
) -> None:
    complete = Exchange(world, world.issue()).play(gates)
    expected = sum(statistics(world.plan, site) for site in range(3))
    assert np.array_equal(from_ring(complete.sum), expected)
    for gate in gates.values():
        (charge,) = entries(gate, Kind.CHARGE)
        assert charge.rho == world.plan.rho
        assert gate._memory.journal.records()[0].step is Step.REVEALED


def test_last_request_repeated_word_for_word_gets_the_same_answer(
    world: World, gates: dict[int, Gate]
) -> None:
    exchange = Exchange(world, world.issue())
    for _ in range(5):
        for site, body in exchange.requests().items():
            answers = {gates[site].answer(body, now=NOW) for _ in range(3)}
            (answer,) = answers
            exchange.take(answer)
        exchange.close()
    assert len(entries(gates[0], Kind.CHARGE)) == 1


def test_noise_is_drawn_once_for_a_round_however_often_it_is_asked_for(world: World) -> None:
    drawn: list[int] = []

    def counted(_plan: object, values: np.ndarray) -> np.ndarray:
        drawn.append(1)
        return values

    gates = {i: world.open(i, add_noise=counted) for i in range(3)}
    exchange = Exchange(world, world.issue())
    exchange.step(gates)
    exchange.step(gates)
    for body in exchange.requests().values():
        for _ in range(3):
            gates[0].respond(body, now=NOW)
    assert len(drawn) == 1


def test_second_run_of_the_same_round_is_refused(world: World, gates: dict[int, Gate]) -> None:
    Exchange(world, world.issue()).play(gates)
    assert refused(gates[0], invite(world.issue())) == "round-already-run"


def test_lower_counter_is_refused(world: World, gates: dict[int, Gate]) -> None:
    gates[0].answer(invite(world.issue(counter=5)), now=NOW)
    assert refused(gates[0], invite(world.issue(counter=4))) == "counter-not-above-journal"


def test_study_with_one_more_query_is_refused(world: World, gates: dict[int, Gate]) -> None:
    more = parse_study(
        STUDY + '\n[[questions]]\nname = "again"\nkind = "average"\n'
        'treatment = "a"\ntreated = 1\nreference = 0\noutcome = "b"\n'
    )
    assert refused(gates[0], invite(world.issue(study_hash=more.hash))) == "study-not-approved"


def test_coordinator_with_another_roster_is_refused(world: World, gates: dict[int, Gate]) -> None:
    stranger = key("stranger")
    other = Roster("testers", public_key(stranger), world.roster.sites)
    signed = world.issue(signer=stranger, roster_hash=other.hash)
    assert refused(gates[0], invite(signed)) == "other-roster"


def test_stranger_with_our_roster_is_refused(world: World, gates: dict[int, Gate]) -> None:
    assert refused(gates[0], invite(world.issue(signer=key("stranger")))) == "bad-signature"


def test_round_with_a_smaller_cohort_than_the_study_is_refused(
    world: World, gates: dict[int, Gate]
) -> None:
    assert refused(gates[0], invite(world.issue(n_min=2))) == "cohort-below-policy"


def test_adverts_of_fewer_sites_than_the_cohort_are_refused(
    world: World, gates: dict[int, Gate]
) -> None:
    exchange = Exchange(world, world.issue())
    exchange.step(gates)
    adverts = exchange.state.dealt.adverts  # type: ignore[union-attr]
    fewer = encode_message(Adverts(adverts.session, adverts.adverts[:2]))
    assert refused(gates[0], fewer) == "cohort-too-small"


def test_survivors_below_the_cohort_are_refused_and_then_the_whole_set_is_agreed(
    world: World, gates: dict[int, Gate]
) -> None:
    exchange = Exchange(world, world.issue())
    for _ in range(3):
        exchange.step(gates)
    session = exchange.signed.descriptor.session
    assert (
        refused(gates[0], encode_message(Survivors(session, site_ids(0, 1)))) == "cohort-too-small"
    )
    exchange.step(gates)


def test_round_over_the_remaining_budget_is_refused_with_what_is_left(
    world: World, gates: dict[int, Gate]
) -> None:
    for counter in (1, 2):
        Exchange(world, world.issue(counter)).play(gates)
    with pytest.raises(BudgetError) as over:
        gates[0].answer(invite(world.issue(3)), now=NOW)
    assert over.value.remaining == Fraction(1, 10) - 2 * world.plan.rho
    assert over.value.requested == world.plan.rho
    assert refused(gates[0], invite(world.issue(3))) == "lifetime-budget-exceeded"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"plan_hash": Digest(b"p" * 32)}, "other-plan"),
        ({"length": 1}, "other-length"),
        ({"threshold": 2}, "threshold-below-policy"),
        ({"protocol_version": 2}, "unsupported-version"),
        ({"deadline": NOW - 1}, "deadline-passed"),
        ({"deadline": NOW + 86_401}, "deadline-too-far"),
    ],
)
def test_descriptor_that_differs_from_what_was_approved_is_refused(
    world: World, gates: dict[int, Gate], changes: dict[str, Any], code: str
) -> None:
    assert refused(gates[0], invite(world.issue(**changes))) == code
    assert gates[0]._memory.journal.records() == ()
    assert gates[0]._memory.ledger.balance(now=NOW).reserved == 0


@pytest.mark.parametrize("step", range(1, 5))
def test_no_step_is_answered_after_the_deadline(
    world: World, gates: dict[int, Gate], step: int
) -> None:
    exchange = Exchange(world, world.issue())
    for _ in range(step):
        exchange.step(gates)
    assert refused(gates[0], exchange.requests()[0], now=DEADLINE + 1) == "deadline-passed"


def test_message_of_an_unknown_round_is_refused(gates: dict[int, Gate]) -> None:
    survivors = Survivors(SessionId(b"x" * 32), site_ids(0, 1, 2))
    assert refused(gates[0], encode_message(survivors)) == "round-unknown"


def test_message_out_of_turn_is_refused_and_changes_nothing(
    world: World, gates: dict[int, Gate]
) -> None:
    exchange = Exchange(world, world.issue())
    exchange.step(gates)
    session = exchange.signed.descriptor.session
    assert refused(gates[0], encode_message(Survivors(session, site_ids(0, 1, 2)))) == "out-of-turn"
    exchange.play(gates)


@pytest.mark.parametrize("body", [b"", b"\x99", b"\x01", b"\x01" + bytes(400)])
def test_malformed_request_is_refused(gates: dict[int, Gate], body: bytes) -> None:
    with pytest.raises(PeerError):
        gates[0].answer(body, now=NOW)
    refused(gates[0], body)


def test_newer_round_of_a_study_ends_the_older_one_and_frees_its_budget(
    world: World, gates: dict[int, Gate]
) -> None:
    older, newer = Exchange(world, world.issue(1)), Exchange(world, world.issue(2))
    older.step(gates)
    newer.play(gates)
    assert refused(gates[0], older.requests()[0]) == "round-lost-in-restart"
    balance = gates[0]._memory.ledger.balance(now=NOW)
    assert balance == Balance(world.plan.rho, Fraction(0))


def test_approval_withdrawn_during_a_round_stops_it_before_the_charge(
    world: World, gates: dict[int, Gate]
) -> None:
    exchange = Exchange(world, world.issue())
    exchange.step(gates)
    exchange.step(gates)
    world.approve(0).unlink()
    assert refused(gates[0], exchange.requests()[0]) == "study-not-approved"
    assert entries(gates[0], Kind.CHARGE) == ()


def test_data_that_change_during_a_round_stop_it_before_the_charge(world: World) -> None:
    records = PretendedRecords()
    gates = {i: world.open(i, records=records) for i in range(3)}
    exchange = Exchange(world, world.issue())
    exchange.step(gates)
    exchange.step(gates)
    records.state = Digest(b"g" * 32)
    assert refused(gates[0], exchange.requests()[0]) == "approval-other-snapshot"
    assert entries(gates[0], Kind.CHARGE) == ()


def test_failed_measurement_costs_nothing_and_tells_nothing(world: World) -> None:
    def measure(*_: object) -> np.ndarray:
        raise ValueError("patient 4711 has HIV")

    gates = {0: world.open(0, measure=measure), 1: world.open(1), 2: world.open(2)}
    exchange = Exchange(world, world.issue())
    exchange.step(gates)
    exchange.step(gates)
    response = gates[0].respond(exchange.requests()[0], now=NOW)
    assert b"4711" not in response["refusal"]
    assert b'"code":"internal"' in response["refusal"]
    assert entries(gates[0], Kind.CHARGE) == ()
    log = (world.config(0).site.folder / "logs" / "gate.jsonl").read_text()
    incident = entries(gates[0], Kind.REFUSAL)[0].incident
    assert incident is not None
    (line,) = [line for line in log.splitlines() if incident in line]
    assert "patient 4711" in line


def test_policy_made_stricter_holds_from_the_next_message_on(
    world: World, gates: dict[int, Gate]
) -> None:
    world.set_policy(0, 'aggregation = ["masking"]', "aggregation = []")
    with pytest.raises(PolicyError) as stricter:
        gates[0].answer(invite(world.issue()), now=NOW)
    assert stricter.value.code == "policy-aggregation"


def test_site_whose_key_is_not_in_the_roster_refuses(world: World) -> None:
    world.keys[0] = key("another")
    assert refused(world.open(0), invite(world.issue())) == "not-in-roster"


def test_a_retry_draws_fresh_noise_and_is_charged_again(world: World) -> None:
    gates = {i: world.open(i, add_noise=add_noise) for i in range(3)}
    sums = [Exchange(world, world.issue(counter=counter)).play(gates).sum for counter in (1, 2)]
    assert (sums[0] != sums[1]).any()
    for gate in gates.values():
        assert len(entries(gate, Kind.CHARGE)) == 2
        assert gate._memory.ledger.balance(now=NOW).charged == 2 * world.plan.rho
