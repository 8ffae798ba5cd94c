"""Approvals: signed, bound to all that was looked at, void as soon as anything differs."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from client.gate.approvals import (
    ApprovalFolder,
    ApprovalTerms,
    Present,
    check_approval,
    read_approval,
)
from client.gate.gate import Gate
from protocol import canonical
from protocol.errors import BudgetError, PolicyError, StorageError
from protocol.identifiers import Digest
from protocol.secagg.messages import Invitation, encode_message
from protocol.signing import public_key
from protocol.study.document import parse_study
from tests.support.site_world import NEXT_WEEK, NOW, STUDY, World, key

OTHER = Digest(b"o" * 32)


def present_of(terms: ApprovalTerms) -> Present:
    return Present(**{name: getattr(terms, name) for name in Present.__dataclass_fields__})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(World(tmp_path)) as world:
        yield world


def asked(world: World, gate: Gate | None = None) -> str:
    """Return the code under which site 0 refuses an invitation, "" if it takes part."""
    gate = gate or world.open(0)
    try:
        gate.answer(encode_message(Invitation(world.issue())), now=NOW)
    except PolicyError as refused:
        return refused.code
    return ""


def test_approval_reads_back_as_it_was_signed(world: World) -> None:
    approval = world.approval(world.terms())
    assert read_approval(approval.encode()) == approval


def test_standing_approval_lets_the_site_take_part(world: World) -> None:
    assert asked(world) == ""


@pytest.mark.parametrize("name", ["study", "plan", "roster", "mapping", "snapshot", "policy"])
def test_each_thing_that_was_approved_voids_the_approval_when_it_differs(
    world: World, name: str
) -> None:
    terms = world.terms()
    present = present_of(terms)
    check_approval(terms, present, now=NOW)
    with pytest.raises(PolicyError) as refused:
        check_approval(terms, replace(present, **{name: OTHER}), now=NOW)
    assert refused.value.code == f"approval-other-{name}"


@pytest.mark.parametrize("name", ["plan", "roster", "mapping", "snapshot", "policy"])
def test_gate_holds_an_approval_against_what_is_true_now(world: World, name: str) -> None:
    world.approve(0, world.study, ("steward", "officer"), **{name: OTHER})
    assert asked(world) == f"approval-other-{name}"


def test_mapping_changed_after_the_approval_voids_it(world: World) -> None:
    settings = world.home(0) / "site.toml"
    settings.write_text(settings.read_text() + '\n[mapping.a]\ncolumn = "other"\n')
    assert asked(world) == "approval-other-mapping"


def test_how_fast_records_are_read_and_where_they_lie_void_nothing(world: World) -> None:
    settings = world.home(0) / "site.toml"
    text = settings.read_text()
    settings.write_text(
        text.replace('path = "records.parquet"', 'path = "moved.parquet"\nmemory_limit = "2GB"')
    )
    assert settings.read_text() != text
    assert asked(world) == ""


def test_approval_ends_with_its_last_second(world: World) -> None:
    present = present_of(world.terms())
    check_approval(world.terms(), present, now=NEXT_WEEK)
    with pytest.raises(PolicyError) as refused:
        check_approval(world.terms(), present, now=NEXT_WEEK + 1)
    assert refused.value.code == "approval-expired"


def test_study_without_an_approval_is_refused(world: World) -> None:
    world.approve(0).unlink()
    assert asked(world) == "study-not-approved"


@pytest.mark.parametrize(
    ("part", "field", "edited"),
    [
        ("terms", "rho_cap", "2/1"),
        ("terms", "expires", NEXT_WEEK + 1),
        ("terms", "snapshot", "00" * 32),
        ("terms", "policy", "00" * 32),
        ("signatures", "name", "Somebody Else"),
        ("signatures", "role", "administrator"),
        ("signatures", "key", "00" * 32),
        ("signatures", "at", NOW - 1),
        ("signatures", "signature", "00" * 64),
    ],
)
def test_approval_edited_in_any_field_is_refused(
    world: World, part: str, field: str, edited: str | int
) -> None:
    path = world.approve(0)
    document = json.loads(path.read_bytes())
    place = document[part] if part == "terms" else document[part][1]
    assert place[field] != edited
    place[field] = edited
    path.write_bytes(canonical.encode(document))
    assert asked(world) == "approval-tampered"


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"format": 1}', b"\xff", b'{"signature":1}']
)
def test_file_that_is_no_approval_is_refused(world: World, content: bytes) -> None:
    world.approve(0).write_bytes(content)
    assert asked(world) == "approval-tampered"


@pytest.mark.parametrize("by", [(), ("steward",), ("officer",)])
def test_one_signature_is_not_enough(world: World, by: tuple[str, ...]) -> None:
    world.approve(0, by=by)
    with pytest.raises(PolicyError) as refused:
        world.open(0).answer(encode_message(Invitation(world.issue())), now=NOW)
    assert refused.value.code == "approval-incomplete"
    missing = {"steward": "data steward", "officer": "privacy officer"}
    assert all(
        (words in refused.value.cause) == (name not in by) for name, words in missing.items()
    )


@pytest.mark.parametrize("third", ["administrator", "auditor"])
def test_who_has_another_role_does_not_approve(world: World, third: str) -> None:
    world.approve(0, by=("steward", third))
    assert asked(world) == "role-not-allowed"


@pytest.mark.parametrize("signer", ["steward", "officer"])
@pytest.mark.parametrize("other", ["a stranger", "coordinator", "site-0"])
def test_approval_by_a_key_that_the_policy_does_not_name_is_refused(
    world: World, signer: str, other: str
) -> None:
    world.people[signer] = key(other)
    world.approve(0)
    assert asked(world) == "approver-unknown"


def test_key_that_is_taken_from_a_person_takes_their_signature_with_it(world: World) -> None:
    world.set_policy(0, public_key(key("officer")).hex(), public_key(key("new officer")).hex())
    assert asked(world) == "approver-unknown"
    world.people["officer"] = key("new officer")
    world.approve(0)
    assert asked(world) == ""


def test_people_who_change_roles_have_to_sign_again(world: World) -> None:
    policy = world.config(0).site.policy
    text = policy.read_text()
    swapped = text.replace('"steward"', '"x"').replace('"privacy-officer"', '"steward"')
    policy.write_text(swapped.replace('"x"', '"privacy-officer"'))
    assert asked(world) == "approver-of-other-role"


def test_one_persons_new_key_leaves_what_others_signed(world: World) -> None:
    world.set_policy(0, public_key(key("auditor")).hex(), public_key(key("new auditor")).hex())
    assert asked(world) == ""


@pytest.mark.parametrize(("old", "new"), [("n_min = 3", "n_min = 2"), ("rho = 0.1", "rho = 0.2")])
def test_policy_changed_after_the_approval_voids_it(world: World, old: str, new: str) -> None:
    world.set_policy(0, old, new)
    assert asked(world) == "approval-other-policy"


@pytest.mark.parametrize(
    "author",
    ["Ada Steward", "  ada   STEWARD ", "Eve, Ada Steward", "Ben Officer (Institute)"],
)
def test_author_may_not_approve_their_own_study(tmp_path: Path, author: str) -> None:
    written = parse_study(STUDY.replace("The testers", author))
    with closing(World(tmp_path, study=written)) as own:
        assert asked(own) == "approval-by-author"


def test_author_is_known_by_their_key_too(tmp_path: Path) -> None:
    line = f'author_key = "{public_key(key("officer")).hex()}"\n'
    written = parse_study(STUDY.replace("expires =", line + "expires ="))
    with closing(World(tmp_path, study=written)) as own:
        assert asked(own) == "approval-by-author"


def test_author_whose_name_only_begins_alike_is_another(tmp_path: Path) -> None:
    written = parse_study(STUDY.replace("The testers", "Ada Stewardson"))
    with closing(World(tmp_path, study=written)) as own:
        assert asked(own) == ""


def test_study_text_swapped_under_its_approval_is_refused(world: World) -> None:
    other = parse_study(STUDY.replace("rho = 0.05", "rho = 0.06"))
    path = world.config(0).site.folder / "studies" / f"{world.study.hash.hex()}.json"
    path.write_bytes(other.canonical)
    assert asked(world) == "approval-tampered"


def test_study_text_that_is_damaged_is_refused(world: World) -> None:
    path = world.config(0).site.folder / "studies" / f"{world.study.hash.hex()}.json"
    path.write_bytes(path.read_bytes()[:-1])
    assert asked(world) == "approval-tampered"


def test_cap_of_the_approval_binds_below_the_policy(world: World) -> None:
    cap = world.plan.rho - Fraction(1, 10**30)
    world.approve(0, rho_cap=cap)
    with pytest.raises(BudgetError) as refused:
        world.open(0).answer(encode_message(Invitation(world.issue())), now=NOW)
    assert refused.value.code == "study-budget-exceeded"
    assert refused.value.remaining == cap


def test_folder_lists_the_studies_with_an_approval(world: World) -> None:
    store = ApprovalFolder(world.config(0).site.folder)
    assert store.approved() == (world.study.hash,)
    assert ApprovalFolder(world.folder / "nowhere").approved() == ()


def test_approval_that_cannot_be_written_says_so(world: World) -> None:
    store = ApprovalFolder(world.folder)
    in_the_way = world.folder / "studies" / f"{world.study.hash.hex()}.json"
    in_the_way.mkdir(parents=True)
    with pytest.raises(StorageError) as refused:
        store.write(world.study, b"")
    assert refused.value.code == "approval-not-written"


def test_approval_files_are_closed_to_others(world: World) -> None:
    path = world.approve(0)
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


def test_approval_that_cannot_be_read_says_so(world: World) -> None:
    path = world.approve(0)
    path.unlink()
    path.mkdir()
    with pytest.raises(StorageError) as refused:
        ApprovalFolder(world.config(0).site.folder).approval(world.study.hash)
    assert refused.value.code == "approval-not-readable"
