"""What happens to a gate's memory: an older copy, a full disk, a clock set back, a switch."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import pytest

from client.gate.approvals import Approval, ApprovalFolder
from client.gate.chain import Event, read_lines
from client.gate.envelope import Envelope, SignedEnvelope
from client.gate.gate import Gate
from client.gate.ledger import YEAR_S, Balance, Kind
from client.gate.memory import CLOCK_TOLERANCE_S
from client.gate.policy import read_policy
from client.gate.proposal import Proposal
from protocol import canonical
from protocol.errors import BudgetError, ConcauseError, PolicyError, StorageError
from protocol.secagg.messages import Invitation, encode_message
from protocol.study.document import parse_study
from tests.support.site_world import NEXT_WEEK, NOW, SNAPSHOT, STUDY, Exchange, World, entries


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(World(tmp_path)) as world:
        yield world


def opened(world: World) -> dict[int, Gate]:
    return {site: world.open(site) for site in range(world.sites)}


def invite(world: World, counter: int = 1) -> bytes:
    return encode_message(Invitation(world.issue(counter)))


def refused(gate: Gate, body: bytes, now: int = NOW, known: bytes = b"") -> str:
    """Return the code under which a gate refuses, "" if it answers."""
    try:
        gate.answer(body, now=now, known=known)
    except ConcauseError as error:
        return error.code
    return ""


def events(world: World, site: int = 0) -> list[str]:
    path = world.config(site).site.audit / "audit.jsonl"
    return [line.event.event for line in read_lines(path.read_bytes())]


def restored(world: World, *parts: str) -> Gate:
    """Play a round, put back older copies of parts of site 0's home, and start its gate again."""
    gates = opened(world)
    home = world.home(0)
    for part in parts:
        shutil.copytree(home / part, home / f"{part}.old")
    Exchange(world, world.issue()).play(gates)
    gates[0].close()
    for part in parts:
        shutil.rmtree(home / part)
        (home / f"{part}.old").rename(home / part)
    return world.open(0)


def test_a_round_leaves_its_steps_in_the_audit_log(world: World) -> None:
    Exchange(world, world.issue()).play(opened(world))
    assert events(world) == [
        *("approval-signed", "gate-started", "policy-in-force"),
        *("round-joined", "round-charged", "vector-released", "round-revealed"),
    ]


def test_older_database_is_found_when_the_gate_starts(world: World) -> None:
    with pytest.raises(PolicyError) as found:
        restored(world, "memory")
    assert found.value.code == "state-rolled-back"


def test_older_audit_log_is_found_when_the_gate_starts(world: World) -> None:
    with pytest.raises(PolicyError) as found:
        restored(world, "audit")
    assert found.value.code == "audit-truncated"


def test_older_copy_of_everything_is_found_by_what_the_coordinator_kept(world: World) -> None:
    gates = opened(world)
    kept: list[bytes] = []
    exchange = Exchange(world, world.issue())
    home = world.home(0)
    for part in ("memory", "audit"):
        shutil.copytree(home / part, home / f"{part}.old")
    exchange.play(gates)
    kept = [gates[site].checkpoint() for site in (2, 0)]
    gates[0].close()
    for part in ("memory", "audit"):
        shutil.rmtree(home / part)
        (home / f"{part}.old").rename(home / part)
    gate = world.open(0)
    assert gate._memory.ledger.balance(now=NOW).charged == 0  # the budget seems to be back
    body = invite(world, 2)
    assert refused(gate, body, known=b"".join(kept)) == "state-rolled-back"
    answer = gate.respond(body, now=NOW, known=b"".join(kept))
    assert b"site-not-ready" in answer["refusal"]
    assert b"backup" not in answer["refusal"]
    assert refused(gate, body, known=kept[0]) == ""  # of another site: says nothing here


def test_checkpoint_that_the_log_holds_lets_the_round_go_on(world: World) -> None:
    gate = world.open(0)
    early = gate.checkpoint()
    assert refused(gate, invite(world), known=early) == ""
    assert refused(gate, invite(world, 2), known=gate.checkpoint()) == ""


@pytest.mark.parametrize("junk", [b"x", b"x" * 96, b"x" * 96 * 201])
def test_junk_for_a_checkpoint_changes_nothing(world: World, junk: bytes) -> None:
    assert refused(world.open(0), invite(world), known=junk) == ""


def test_clock_set_back_stops_the_gate_until_the_administrator_accepts_it(world: World) -> None:
    gate = world.open(0)
    early = NOW - CLOCK_TOLERANCE_S
    assert refused(gate, b"", now=early - 1) == "clock-behind"
    assert refused(gate, invite(world), now=early) == ""
    later = encode_message(Invitation(world.issue(2, deadline=NOW)))
    assert refused(gate, later, now=NOW - 2 * CLOCK_TOLERANCE_S) == "clock-behind"
    with world.decisions(0) as decisions:
        for name in ("steward", "officer", "auditor"):
            with pytest.raises(PolicyError) as denied:
                decisions.accept_clock(world.signer(name), None, now=1)
            assert denied.value.code == "role-not-allowed"
        accepted = NOW - 2 * CLOCK_TOLERANCE_S
        decisions.accept_clock(world.signer("administrator"), "ran ahead", now=accepted)
    assert refused(gate, later, now=accepted) == ""


def test_pause_stops_every_step_and_only_the_administrator_ends_it(world: World) -> None:
    gates = opened(world)
    exchange = Exchange(world, world.issue())
    exchange.step(gates)
    with world.decisions(0) as decisions:
        decisions.pause(None, "a call from the board", now=NOW)
        assert refused(gates[0], exchange.requests()[0]) == "site-paused"
        assert refused(gates[0], invite(world, 2)) == "site-paused"
        with pytest.raises(PolicyError) as denied:
            decisions.resume(world.signer("steward"), None, now=NOW)
        assert denied.value.code == "role-not-allowed"
        assert refused(gates[0], exchange.requests()[0]) == "site-paused"
        decisions.resume(world.signer("administrator"), None, now=NOW)
    exchange.play(gates)
    assert {"paused", "resumed"} <= set(events(world))


def test_pause_outlives_the_gate(world: World) -> None:
    with world.decisions(0) as decisions:
        decisions.pause(world.signer("auditor"), None, now=NOW)
    assert refused(world.open(0), invite(world)) == "site-paused"


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4])
def test_withdrawal_stops_a_round_at_its_next_step_and_refunds_nothing(
    world: World, steps: int
) -> None:
    gates = opened(world)
    exchange = Exchange(world, world.issue())
    for _ in range(steps):
        exchange.step(gates)
    before = gates[0]._memory.ledger.balance(now=NOW).charged
    with world.decisions(0) as decisions:
        decisions.withdraw(world.study.hash, None, "new ethics vote", now=NOW)
    assert refused(gates[0], exchange.requests()[0]) == "approval-withdrawn"
    assert refused(gates[0], invite(world, 2)) == "approval-withdrawn"
    assert gates[0]._memory.ledger.balance(now=NOW).charged == before
    assert before == (world.plan.rho if steps >= 3 else 0)


def test_withdrawn_approval_does_not_come_back_with_its_file(world: World) -> None:
    gate = world.open(0)
    path = world.approve(0)
    copy = path.read_bytes()
    with world.decisions(0) as decisions:
        decisions.withdraw(world.study.hash, None, None, now=NOW)
    path.write_bytes(copy)
    assert refused(gate, invite(world)) == "approval-withdrawn"
    world.approve(0, approved=NOW + 1)  # signed anew
    assert refused(gate, invite(world), now=NOW + 1) == ""


def test_a_decision_that_cannot_be_noted_does_not_take_effect(world: World) -> None:
    path = world.config(0).site.folder / "approvals" / f"{world.study.hash.hex()}.json"
    path.unlink()
    gate = world.open(0)
    examined = gate._consents.examine(world.study, now=NOW)
    waiting = Proposal(examined, Approval(world.terms()), Balance(Fraction(0), Fraction(0)))
    (world.config(0).site.audit / "audit.jsonl").write_bytes(b"")
    with world.decisions(0) as decisions, pytest.raises(PolicyError) as refusal:
        decisions.sign(waiting, world.signer("steward"), now=NOW)
    assert refusal.value.code == "audit-truncated"
    assert not path.exists()


def test_withdrawal_of_what_was_never_approved_is_refused(world: World) -> None:
    other = parse_study(STUDY.replace("A tiny study", "Another title")).hash
    with world.decisions(0) as decisions, pytest.raises(PolicyError) as denied:
        decisions.withdraw(other, None, None, now=NOW)
    assert denied.value.code == "study-not-approved"


@pytest.mark.parametrize("step", range(5))
@pytest.mark.parametrize("writes", range(8))
def test_full_disk_at_any_write_keeps_the_answer_back_and_charges_at_most_once(
    world: World, step: int, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = opened(world)
    exchange = Exchange(world, world.issue())
    for _ in range(step):
        exchange.step(gates)
    memory = gates[0]._memory
    write, done = memory.database.write, []

    def until_full(statement: str, *values: object) -> int:
        done.append(statement)
        if len(done) > writes:
            raise StorageError("state-unavailable", "The disk is full.", "")
        return write(statement, *values)

    with monkeypatch.context() as patched:
        patched.setattr(memory.database, "write", until_full)
        reply = gates[0].respond(exchange.requests()[0], now=NOW)
    full = len(done) > writes
    assert ("refusal" in reply) == full
    for _ in range(2):  # there is room again
        gates[0].respond(exchange.requests()[0], now=NOW)
    charged = memory.ledger.balance(now=NOW).charged
    assert charged in (
        {0, world.plan.rho} if step == 2 and full else {world.plan.rho * (step >= 2)}
    )
    memory.audit.check()
    assert len(entries(gates[0], Kind.CHARGE)) <= 1


def test_audit_file_that_cannot_grow_keeps_the_answer_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = world.open(0)
    assert "body" in gate.respond(invite(world), now=NOW)
    before = events(world)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("client.gate.audit.os.pwrite", full)
        reply = gate.respond(invite(world, 2), now=NOW)
    assert b"site-not-ready" in reply["refusal"]
    gate.close()
    world._opened.clear()
    assert events(world) == before
    world.open(0)
    after = ["round-lost", "round-joined", "refused", "gate-started", "round-lost"]
    assert events(world) == [*before, *after]


def test_budget_of_a_round_that_was_begun_but_not_answered_is_free_for_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = world.open(0)
    with monkeypatch.context() as patched:
        full = StorageError("audit-unwritable", "No space left.", "")
        patched.setattr(gate._memory.audit, "flush", lambda: (_ for _ in ()).throw(full))
        for counter in (1, 2):
            assert b"site-not-ready" in gate.respond(invite(world, counter), now=NOW)["refusal"]
    assert "body" in gate.respond(invite(world, 3), now=NOW)
    assert gate._memory.ledger.balance(now=NOW).reserved == world.plan.rho


def test_each_policy_is_in_the_audit_log_before_what_was_decided_under_it(world: World) -> None:
    gate = world.open(0)
    for counter in (1, 2):
        assert "body" in gate.respond(invite(world, counter), now=NOW)
    world.set_policy(0, "[cohort]", "longest_round_s = 7200\n[cohort]")
    assert refused(gate, invite(world, 3)) == "approval-other-policy"
    assert events(world) == [
        *("approval-signed", "gate-started", "policy-in-force"),
        *("round-joined", "round-lost", "round-joined", "policy-in-force"),
    ]
    policy = read_policy(world.config(0).site.policy).digest_with_people
    last = read_lines((world.config(0).site.audit / "audit.jsonl").read_bytes())[-1]
    assert last.event.hash == policy.hex()


@pytest.mark.parametrize("content", [b"", b"other\n" * 50])
def test_audit_log_cut_off_while_the_gate_works_stops_it_with_fixed_words(
    world: World, content: bytes
) -> None:
    gate = world.open(0)
    (world.config(0).site.audit / "audit.jsonl").write_bytes(content)
    for counter in (1, 2):
        reply = gate.respond(invite(world, counter), now=NOW)
        assert b"site-not-ready" in reply["refusal"]
        assert b"audit" not in reply["refusal"]


def test_yearly_cap_holds_for_any_365_days(world: World) -> None:
    world.set_policy(0, "[budget.study]", "[budget.year]\nrho = 0.06\n[budget.study]")
    year = read_policy(world.config(0).site.policy).caps.year
    assert year is not None
    far = NOW + YEAR_S + 10
    world.approve(0, expires=far + 1000)
    gates = opened(world)
    Exchange(world, world.issue()).play(gates)
    with pytest.raises(BudgetError) as over:
        gates[0].answer(invite(world, 2), now=NOW)
    assert over.value.code == "yearly-budget-exceeded"
    again = encode_message(Invitation(world.issue(3, deadline=NOW + YEAR_S)))
    assert refused(gates[0], again, now=NOW + YEAR_S - 1) == "yearly-budget-exceeded"
    later = encode_message(Invitation(world.issue(4, deadline=far)))
    assert refused(gates[0], later, now=far - 1) == ""


def test_budget_exceeded_by_a_hair_is_refused(world: World) -> None:
    least = world.plan.rho
    caps = {"rho = 0.1\n\n[budget.study]": least - Fraction(1, 10**15)}
    for old, cap in caps.items():
        text = f"{cap.numerator / cap.denominator:.18f}"
        assert Fraction(text) < least
        world.set_policy(0, old, f"rho = {text}\n\n[budget.study]")
    world.approve(0)
    assert refused(world.open(0), invite(world)) == "lifetime-budget-exceeded"


def admitted(world: World, made: Envelope, by: tuple[str, ...] = ("steward", "officer")) -> str:
    """Put site 0's study under an envelope, and return the code with which a round is refused."""
    signed: SignedEnvelope | None = None
    with world.decisions(0) as decisions:
        for name in by:
            signed = decisions.sign_envelope(made, signed, world.signer(name), now=NOW)
    assert signed is not None
    folder = ApprovalFolder(world.config(0).site.folder)
    folder.write(world.study, Approval(world.terms(), (), signed).encode())
    return refused(world.open(0), invite(world))


def test_study_inside_a_signed_envelope_needs_no_further_signature(world: World) -> None:
    made = world.envelope()
    assert admitted(world, made) == ""
    gate = world._opened[0]
    (reserved,) = entries(gate, Kind.RESERVATION)
    rows = gate._memory.database.rows(
        "SELECT envelope FROM ledger WHERE number = ?", reserved.number
    )
    assert rows == [(made.hash,)]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"authors": ("Others",)}, "envelope-author"),
        ({"variables": ("a",)}, "envelope-variable"),
        ({"rho_study": Fraction(1, 10**6)}, "envelope-cost"),
        ({"rho_total": Fraction(1, 10**6)}, "envelope-budget-exceeded"),
        ({"expires": NOW - 1}, "envelope-other"),
        ({"policy": SNAPSHOT}, "envelope-other"),
        ({"mapping": SNAPSHOT}, "envelope-other"),
        ({"roster": SNAPSHOT}, "envelope-other"),
    ],
)
def test_study_outside_the_envelope_is_refused(
    world: World, changes: dict[str, object], code: str
) -> None:
    assert admitted(world, world.envelope(**changes)) == code


@pytest.mark.parametrize("by", [("steward",), ("officer",)])
def test_envelope_with_one_signature_allows_nothing(world: World, by: tuple[str, ...]) -> None:
    assert admitted(world, world.envelope(), by) == "approval-incomplete"


def test_edited_envelope_allows_nothing(world: World) -> None:
    assert admitted(world, world.envelope(rho_study=Fraction(1, 10**6))) == "envelope-cost"
    path = world.config(0).site.folder / "approvals" / f"{world.study.hash.hex()}.json"
    document = canonical.decode(path.read_bytes())
    assert isinstance(document, dict)
    document["envelope"]["envelope"]["rho_study"] = "1/1"
    path.write_bytes(canonical.encode(document))
    assert refused(world._opened[0], invite(world)) == "approval-tampered"


def test_envelopes_expiry_ends_what_was_admitted(world: World) -> None:
    assert admitted(world, world.envelope()) == ""
    late = encode_message(Invitation(world.issue(2, deadline=NEXT_WEEK + 10)))
    assert refused(world._opened[0], late, now=NEXT_WEEK + 1) == "envelope-expired"


def test_refusals_are_lines_of_the_audit_log(world: World) -> None:
    gate = world.open(0)
    gate.respond(b"\x99", now=NOW)
    path = world.config(0).site.audit / "audit.jsonl"
    last = read_lines(path.read_bytes())[-1]
    (entry,) = entries(gate, Kind.REFUSAL)
    assert last.event == Event(event="refused", code=entry.code, incident=entry.incident)
