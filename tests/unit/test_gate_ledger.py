"""The ledger: caps, promises, charges, and that nothing is ever taken back."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from client.gate.database import Database
from client.gate.ledger import SCHEMA, Balance, Caps, Kind, Ledger, Request
from protocol.errors import BudgetError, PolicyError, StorageError
from protocol.identifiers import Digest, SessionId

NOW = 1_000
DEADLINE = 2_000
STUDY = Digest(b"s" * 32)
OTHER = Digest(b"o" * 32)
CAPS = Caps(lifetime=Fraction(1), study=Fraction(2, 3))


def request(name: int, rho: Fraction = Fraction(1, 3), study: Digest = STUDY) -> Request:
    return Request(SessionId(bytes([name]) * 32), study, rho, DEADLINE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gate.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    database = Database(path, SCHEMA)
    yield Ledger(database)
    database.close()


def test_reservation_holds_budget_and_charge_spends_it(ledger: Ledger) -> None:
    ledger.reserve(request(1), CAPS, now=NOW)
    assert ledger.balance(now=NOW).remaining(CAPS.lifetime) == Fraction(2, 3)
    ledger.charge(request(1), CAPS, now=NOW)
    balance = ledger.balance(now=DEADLINE + 1)
    assert balance == Balance(Fraction(1, 3), Fraction(0))


def test_reservation_lapses_with_the_deadline_and_frees_its_budget(ledger: Ledger) -> None:
    ledger.reserve(request(1), CAPS, now=NOW)
    assert ledger.balance(now=DEADLINE).reserved == Fraction(1, 3)
    assert ledger.balance(now=DEADLINE + 1).reserved == 0


def test_lapsed_reservation_cannot_be_charged(ledger: Ledger) -> None:
    ledger.reserve(request(1), CAPS, now=NOW)
    with pytest.raises(PolicyError) as refused:
        ledger.charge(request(1), CAPS, now=DEADLINE + 1)
    assert refused.value.code == "reservation-lapsed"


def test_charge_without_reservation_is_refused(ledger: Ledger) -> None:
    with pytest.raises(PolicyError) as refused:
        ledger.charge(request(1), CAPS, now=NOW)
    assert refused.value.code == "reservation-lapsed"


def test_second_charge_of_a_round_is_refused(ledger: Ledger) -> None:
    ledger.reserve(request(1), CAPS, now=NOW)
    ledger.charge(request(1), CAPS, now=NOW)
    with pytest.raises(PolicyError):
        ledger.charge(request(1), CAPS, now=NOW)
    assert ledger.balance(now=NOW).charged == Fraction(1, 3)


def test_abandoned_round_frees_its_budget_and_can_never_be_charged(ledger: Ledger) -> None:
    ledger.reserve(request(1), CAPS, now=NOW)
    ledger.lapse(request(1).session, now=NOW)
    assert ledger.balance(now=NOW).reserved == 0
    with pytest.raises(PolicyError):
        ledger.charge(request(1), CAPS, now=NOW)


def test_abandoning_a_charged_round_gives_nothing_back(ledger: Ledger) -> None:
    ledger.reserve(request(1), CAPS, now=NOW)
    ledger.charge(request(1), CAPS, now=NOW)
    ledger.lapse(request(1).session, now=NOW)
    assert ledger.balance(now=NOW).charged == Fraction(1, 3)
    assert [entry.kind for entry in ledger.entries()] == [Kind.RESERVATION, Kind.CHARGE]


def test_study_cap_refuses_with_what_remains_and_what_was_asked(ledger: Ledger) -> None:
    ledger.reserve(request(1), CAPS, now=NOW)
    with pytest.raises(BudgetError) as refused:
        ledger.reserve(request(2, Fraction(1, 2)), CAPS, now=NOW)
    assert refused.value.code == "study-budget-exceeded"
    assert refused.value.remaining == Fraction(1, 3)
    assert refused.value.requested == Fraction(1, 2)


def test_lifetime_cap_counts_all_studies(ledger: Ledger) -> None:
    ledger.reserve(request(1, Fraction(2, 3)), CAPS, now=NOW)
    with pytest.raises(BudgetError) as refused:
        ledger.reserve(request(2, Fraction(1, 3) + Fraction(1, 10**30), OTHER), CAPS, now=NOW)
    assert refused.value.code == "lifetime-budget-exceeded"
    ledger.reserve(request(2, Fraction(1, 3), OTHER), CAPS, now=NOW)


def test_refused_reservation_leaves_no_trace_of_budget(ledger: Ledger) -> None:
    with pytest.raises(BudgetError):
        ledger.reserve(request(1, Fraction(2)), CAPS, now=NOW)
    assert ledger.entries() == ()


def test_clock_set_back_cannot_spend_the_same_budget_twice(ledger: Ledger) -> None:
    ledger.reserve(request(1, Fraction(2, 3)), CAPS, now=NOW)
    later = Request(SessionId(b"2" * 32), STUDY, Fraction(2, 3), 10 * DEADLINE)
    ledger.reserve(later, CAPS, now=DEADLINE + 1)
    ledger.charge(later, CAPS, now=DEADLINE + 1)
    with pytest.raises(BudgetError):
        ledger.charge(request(1, Fraction(2, 3)), CAPS, now=NOW)


def test_two_connections_cannot_promise_the_same_budget(path: Path) -> None:
    first, second = Database(path, SCHEMA), Database(path, SCHEMA)
    Ledger(first).reserve(request(1, Fraction(2, 3)), CAPS, now=NOW)
    with pytest.raises(BudgetError):
        Ledger(second).reserve(request(2, Fraction(2, 3)), CAPS, now=NOW)
    first.close()
    second.close()


def test_second_connection_waits_for_the_first_and_sees_what_it_wrote(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.gate.database._WAIT_S", 0.05)
    first, second = Database(path, SCHEMA), Database(path, SCHEMA)
    with first.transaction():
        Ledger(first).reserve(request(1), CAPS, now=NOW)
        with pytest.raises(StorageError) as busy:
            Ledger(second).reserve(request(2), CAPS, now=NOW)
    assert busy.value.code == "state-unavailable"
    Ledger(second).reserve(request(2), CAPS, now=NOW)
    assert Ledger(first).balance(now=NOW).reserved == Fraction(2, 3)
    first.close()
    second.close()


@pytest.mark.parametrize("statement", ["DELETE FROM ledger", "UPDATE ledger SET rho = '0/1'"])
def test_entry_can_be_neither_changed_nor_removed(path: Path, statement: str) -> None:
    database = Database(path, SCHEMA)
    Ledger(database).reserve(request(1), CAPS, now=NOW)
    with pytest.raises(StorageError):
        database.write(statement)
    assert len(Ledger(database).entries()) == 1
    database.close()


def test_transaction_that_is_killed_leaves_nothing(path: Path) -> None:
    database = Database(path, SCHEMA)

    def reserve_and_die() -> None:
        with database.transaction():
            Ledger(database).reserve(request(1), CAPS, now=NOW)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reserve_and_die()
    assert Ledger(database).entries() == ()
    database.close()


def test_refusal_is_an_entry_with_code_and_incident(ledger: Ledger) -> None:
    ledger.note_refusal("other-roster", "id-1", session=None, study=STUDY, now=NOW)
    (entry,) = ledger.entries()
    assert (entry.kind, entry.code, entry.incident, entry.study, entry.at) == (
        Kind.REFUSAL,
        "other-roster",
        "id-1",
        STUDY,
        NOW,
    )


def test_state_of_another_format_is_refused(path: Path) -> None:
    database = Database(path, SCHEMA)
    database.write("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StorageError) as refused:
        Database(path, SCHEMA)
    assert refused.value.code == "state-of-other-version"


def test_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(StorageError) as refused:
        Database(path, SCHEMA)
    assert refused.value.code == "state-unavailable"


def test_state_file_is_private(path: Path, ledger: Ledger) -> None:
    ledger.reserve(request(1), CAPS, now=NOW)
    assert {file.stat().st_mode & 0o777 for file in path.parent.glob("gate.sqlite*")} == {0o600}


def test_disk_that_cannot_keep_a_log_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError) as refused:
        Database(Path(":memory:"), SCHEMA)
    assert refused.value.code == "state-not-durable"
