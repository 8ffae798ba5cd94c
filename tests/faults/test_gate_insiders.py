"""Someone who may write to a site's files, without the keys of its people, gains nothing by it."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from client.gate.approvals import Approval, ApprovalFolder
from client.gate.audit import LOG_FILE
from client.gate.chain import read_lines
from client.gate.envelope import SignedEnvelope
from client.gate.gate import Gate
from client.gate.ledger import Balance, Kind
from client.gate.means import Point
from client.gate.memory import DATABASE_FILE
from client.gate.policy import read_policy
from client.gate.proposal import Proposal
from protocol.errors import ConcauseError, PolicyError, SiteOnlyError
from protocol.secagg.messages import Invitation, encode_message
from protocol.study.document import parse_study
from tests.support.site_world import NEXT_WEEK, NOW, SNAPSHOT, STUDY, Exchange, World, entries


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(World(tmp_path)) as made:
        yield made


def invite(world: World, counter: int = 1) -> bytes:
    return encode_message(Invitation(world.issue(counter)))


def refused(gate: Gate, body: bytes) -> str:
    """Return the code under which a gate refuses, "" if it answers."""
    try:
        gate.answer(body, now=NOW)
    except ConcauseError as error:
        return error.code
    return ""


def approval_file(world: World) -> Path:
    return world.config(0).site.folder / "approvals" / f"{world.study.hash.hex()}.json"


def withdraw(world: World) -> None:
    with world.decisions(0) as decisions:
        decisions.withdraw(world.study.hash, None, None, now=NOW)


def admit(world: World) -> Approval:
    """Have site 0 admit the study under an envelope of one round's cost; return the approval."""
    signed: SignedEnvelope | None = None
    with world.decisions(0) as decisions:
        for name in ("steward", "officer"):
            signed = decisions.sign_envelope(
                world.envelope(rho_study=world.plan.rho), signed, world.signer(name), now=NOW
            )
        assert signed is not None
        return decisions.admit(proposal(world), signed, now=NOW)


def proposal(world: World) -> Proposal:
    examined = world.open(0)._consents.examine(world.study, now=NOW)
    return Proposal(examined, Approval(world.terms()), Balance(Fraction(0), Fraction(0)))


@pytest.mark.parametrize(
    "changes",
    [
        {"rho_cap": Fraction(50)},
        {"approved": NOW + 1},
        {"expires": NEXT_WEEK - 1},
        {"snapshot": bytes(32)},
    ],
)
def test_terms_under_an_envelope_cannot_be_edited(world: World, changes: dict[str, object]) -> None:
    approval = admit(world)
    assert refused(world.open(0), invite(world)) == ""
    edited = replace(approval, terms=replace(approval.terms, **changes))  # type: ignore[arg-type]
    ApprovalFolder(world.config(0).site.folder).write(world.study, edited.encode())
    assert refused(world.open(0), invite(world, 2)) == "approval-superseded"


def test_an_approval_that_allows_more_than_its_envelope_does_not_stand(world: World) -> None:
    approval = admit(world)
    terms = replace(approval.terms, rho_cap=2 * world.plan.rho)
    world.approve(0, rho_cap=terms.rho_cap)  # so that the log tells of such terms
    terms = replace(world.terms(), rho_cap=terms.rho_cap)
    ApprovalFolder(world.config(0).site.folder).write(
        world.study, replace(approval, terms=terms).encode()
    )
    assert refused(world.open(0), invite(world)) == "envelope-rho-study"


def test_an_older_approval_does_not_come_back_when_other_terms_were_signed(world: World) -> None:
    older = approval_file(world).read_bytes()
    world.approve(0, rho_cap=world.plan.rho)
    approval_file(world).write_bytes(older)
    assert refused(world.open(0), invite(world)) == "approval-superseded"
    withdraw(world)
    assert refused(world.open(0), invite(world)) == "approval-withdrawn"


def test_an_approval_that_the_log_does_not_tell_of_does_not_stand(world: World) -> None:
    study = parse_study(STUDY.replace("A tiny study", "Another title"))
    approval = world.approval(world.terms(study))
    folder = ApprovalFolder(world.config(0).site.folder)
    folder.write(study, approval.encode())
    consents = world.open(0)._consents
    with pytest.raises(SiteOnlyError) as unknown:
        consents.approved(study.hash, now=NOW)
    assert unknown.value.code == "approval-not-decided"


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_a_round_ends_with_the_withdrawal_also_of_an_approval_signed_meanwhile(
    world: World, steps: int
) -> None:
    gates = {site: world.open(site) for site in range(world.sites)}
    exchange = Exchange(world, world.issue())
    for _ in range(steps):
        exchange.step(gates)
    world.approve(0, rho_cap=Fraction(1, 2))
    withdraw(world)
    assert refused(gates[0], exchange.requests()[0]) == "approval-withdrawn"
    world.approve(0)  # a new yes is for new rounds
    assert refused(gates[0], exchange.requests()[0]) == "approval-withdrawn"
    assert refused(gates[0], invite(world, 2)) == ""


@pytest.mark.parametrize("left", [None, b"", b"{}"])
def test_a_study_is_withdrawn_whatever_became_of_its_approval(
    world: World, left: bytes | None
) -> None:
    gate, kept = world.open(0), approval_file(world).read_bytes()
    approval_file(world).unlink()
    if left is not None:
        approval_file(world).write_bytes(left)
    withdraw(world)
    approval_file(world).write_bytes(kept)
    assert refused(gate, invite(world)) == "approval-withdrawn"


def test_an_envelope_does_not_bring_back_what_people_withdrew(world: World) -> None:
    signed = admit(world).envelope
    assert signed is not None
    withdraw(world)
    with world.decisions(0) as decisions, pytest.raises(PolicyError) as denied:
        decisions.admit(proposal(world), signed, now=NOW)
    assert denied.value.code == "approval-withdrawn"
    world.approve(0)
    assert refused(world.open(0), invite(world)) == ""


def test_a_withdrawn_envelope_ends_all_that_it_admitted_until_it_is_signed_again(
    world: World,
) -> None:
    signed = admit(world).envelope
    assert signed is not None
    with world.decisions(0) as decisions:
        assert decisions.withdraw_envelope(None, "no more", now=NOW) is None
        assert refused(world.open(0), invite(world)) == "envelope-withdrawn"
        with pytest.raises(PolicyError) as denied:
            decisions.admit(proposal(world), signed, now=NOW)
        assert denied.value.code == "envelope-withdrawn"
        for name in ("steward", "officer"):
            decisions.sign_envelope(signed.envelope, signed, world.signer(name), now=NOW)
    assert refused(world.open(0), invite(world, 2)) == ""


def test_an_envelope_that_was_never_signed_cannot_be_withdrawn(world: World) -> None:
    with world.decisions(0) as decisions, pytest.raises(PolicyError) as denied:
        decisions.withdraw_envelope(None, None, now=NOW)
    assert denied.value.code == "envelope-missing"


def test_the_last_answer_is_not_repeated_after_a_withdrawal(world: World) -> None:
    gates = {site: world.open(site) for site in range(world.sites)}
    exchange = Exchange(world, world.issue())
    exchange.step(gates)
    exchange.step(gates)
    request = exchange.requests()[0]
    assert "body" in gates[0].respond(request, now=NOW)  # the vector, lost on its way
    withdraw(world)
    assert refused(gates[0], request) == "approval-withdrawn"


@pytest.mark.parametrize("point", [Point.MEASURED, Point.CHARGED, Point.NOISED])
@pytest.mark.parametrize("word", ["site-paused", "approval-withdrawn"])
def test_a_word_spoken_while_the_gate_measures_keeps_the_vector_back(
    world: World, point: Point, word: str
) -> None:
    def reached(at: Point) -> None:
        if at is point:
            with world.decisions(0) as decisions:
                if word == "site-paused":
                    decisions.pause(None, None, now=NOW)
                else:
                    decisions.withdraw(world.study.hash, None, None, now=NOW)

    gates = {0: world.open(0, reached=reached), 1: world.open(1), 2: world.open(2)}
    exchange = Exchange(world, world.issue())
    exchange.step(gates)
    exchange.step(gates)
    assert refused(gates[0], exchange.requests()[0]) == word
    charged = len(entries(gates[0], Kind.CHARGE))
    assert charged == (0 if point is Point.MEASURED else 1)
    log = read_lines((world.config(0).site.audit / LOG_FILE).read_bytes())
    assert "vector-released" not in [line.event.event for line in log]


def test_a_line_edited_while_the_gate_works_is_found_before_the_next_round(world: World) -> None:
    gate = world.open(0)
    assert refused(gate, invite(world)) == ""
    log = world.config(0).site.audit / LOG_FILE
    log.write_bytes(log.read_bytes().replace(b"gate-started", b"gate-stopped", 1))
    assert refused(gate, invite(world, 2)) == "audit-edited"
    assert entries(gate, Kind.LAPSE) == ()


@pytest.mark.parametrize("word", ["site-paused", "approval-withdrawn"])
def test_a_word_spoken_while_an_invitation_is_looked_at_holds(world: World, word: str) -> None:
    def reached(at: Point) -> None:
        if at is Point.INVITATION_CHECKED:
            with world.decisions(0) as decisions:
                if word == "site-paused":
                    decisions.pause(None, None, now=NOW)
                else:
                    decisions.withdraw(world.study.hash, None, None, now=NOW)

    gate = world.open(0, reached=reached)
    assert refused(gate, invite(world)) == word
    assert entries(gate, Kind.RESERVATION) == ()


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("DELETE FROM ledger WHERE kind = 'charge'", "ledger-edited"),
        ("UPDATE ledger SET rho = '1/1000000' WHERE kind = 'charge'", "ledger-edited"),
        ("UPDATE audit SET line = replace(line, 'charged', 'chargod')", "audit-edited"),
        (
            "UPDATE audit SET line = CAST(replace(line, 'charged', 'chargod') AS BLOB)",
            "audit-edited",
        ),
        ("DELETE FROM audit WHERE event = 'round-charged'", "state-rolled-back"),
    ],
)
def test_a_database_that_was_edited_is_found_when_the_gate_starts(
    world: World, statement: str, code: str
) -> None:
    gates = {site: world.open(site) for site in range(world.sites)}
    Exchange(world, world.issue()).play(gates)
    gates[0].close()
    del world._opened[0]
    with closing(sqlite3.connect(world.config(0).site.folder / DATABASE_FILE)) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            database.execute(f"DROP TRIGGER {name}")
        database.execute(statement)
        database.commit()
    with pytest.raises(SiteOnlyError) as found:
        world.open(0)
    assert found.value.code == code


def test_a_decision_by_key_is_preceded_by_the_policy_that_names_the_key(world: World) -> None:
    with world.decisions(0) as decisions:
        decisions.pause(None, None, now=NOW)
        world.set_policy(0, "[cohort]", "longest_round_s = 7200\n[cohort]")
        decisions.resume(world.signer("administrator"), None, now=NOW)
    policy = read_policy(world.config(0).site.policy).digest_with_people.hex()
    *_, before, last = read_lines((world.config(0).site.audit / LOG_FILE).read_bytes())
    assert (before.event.event, before.event.hash) == ("policy-in-force", policy)
    assert last.event.event == "resumed"


def test_a_checkpoint_tells_nothing_of_the_line_that_it_is_of(world: World) -> None:
    """Two sites whose logs say the same have different checkpoints: each line has a salt."""
    gates = [world.open(0), world.open(1)]
    logs = [(world.config(site).site.audit / LOG_FILE).read_bytes().splitlines() for site in (0, 1)]
    first, second = ([json.loads(line) for line in log] for log in logs)
    for one, other in zip(first, second, strict=True):
        assert len(bytes.fromhex(one["salt"])) == 16
        assert one.pop("salt") != other.pop("salt")
        assert one.pop("previous") != other.pop("previous") or one["number"] == 1
        assert one == other
    heads = [gate._memory.audit.head for gate in gates]
    assert heads[0] != heads[1]
    assert SNAPSHOT not in heads
