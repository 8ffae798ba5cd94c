import json
import stat
from pathlib import Path

import pytest

from protocol.errors import PeerError, StorageError, UsageError
from protocol.identifiers import SiteId
from protocol.secagg.coordinator_states import StepClosed
from protocol.secagg.transcript import Header, encode_header
from server.rounds.board import Board, fresh_status
from server.rounds.carrier import Address
from server.rounds.driver import drive
from server.rounds.folder import RoundFolder, create_round_folder, replace_file
from server.rounds.status import Refusal, RoundStatus, parse_refusal, printable
from tests.support.rounds_world import (
    START,
    TIMINGS,
    FakeClock,
    LoopbackTransport,
    doubles,
    issued,
    refusal,
)
from tests.support.secagg_network import consortium

WORLD = consortium(3)
HEADER = Header(WORLD.roster, WORLD.signed)


@pytest.fixture
def folder(tmp_path: Path) -> RoundFolder:
    return issued(WORLD, tmp_path / "rounds" / "000001")


def test_a_new_folder_holds_the_round_as_issued(folder: RoundFolder) -> None:
    assert folder.read_header() == HEADER
    assert folder.study.read_text() == "name = 'a study'\n"
    assert folder.read_status() is None


def test_a_new_folder_is_its_owners_alone(folder: RoundFolder) -> None:
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    with folder.open_transcript():
        for file in folder.path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_folder_is_not_made_twice(folder: RoundFolder) -> None:
    with pytest.raises(StorageError) as caught:
        create_round_folder(folder.path, HEADER, "")
    assert caught.value.code == "round-exists"


def test_a_folder_without_a_round_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        RoundFolder(tmp_path).read_header()
    assert caught.value.code == "not-a-round-folder"


def test_a_transcript_of_another_round_is_refused(folder: RoundFolder) -> None:
    other = WORLD.issue(counter=2)
    folder.transcript.write_bytes(encode_header(Header(other.roster, other.signed)) + b"\0")
    with pytest.raises(UsageError) as caught, folder.open_transcript():
        pass
    assert caught.value.code == "other-transcript"


def test_something_else_in_place_of_a_transcript_is_refused(folder: RoundFolder) -> None:
    folder.transcript.write_bytes(b"hello")
    with pytest.raises(PeerError) as caught, folder.open_transcript():
        pass
    assert caught.value.code in {"not-a-transcript", "message-too-short"}


def test_an_event_stays_when_the_process_goes(folder: RoundFolder) -> None:
    with folder.open_transcript() as transcript:
        assert transcript.events == ()
        transcript.append(StepClosed())
    with folder.open_transcript() as transcript:
        assert transcript.events == (StepClosed(),)
        transcript.append(StepClosed())
    with folder.open_transcript() as transcript:
        assert transcript.events == (StepClosed(), StepClosed())


def test_a_torn_event_is_cut_away_and_the_next_one_stands_in_its_place(
    folder: RoundFolder,
) -> None:
    with folder.open_transcript() as transcript:
        transcript.append(StepClosed())
    whole = folder.transcript.read_bytes()
    folder.transcript.write_bytes(whole + b"\x00\x00\x00\x05abc")
    with folder.open_transcript() as transcript:
        assert transcript.events == (StepClosed(),)
        transcript.append(StepClosed())
    assert folder.transcript.read_bytes() == whole + b"\x00\x00\x00\x01\x20"


def test_a_transcript_is_open_in_one_place_only(folder: RoundFolder) -> None:
    with folder.open_transcript(), pytest.raises(StorageError) as caught:
        folder.open_transcript().__enter__()
    assert caught.value.code == "round-in-progress"
    with folder.open_transcript():
        pass


def test_addresses_come_back_as_they_were_kept(folder: RoundFolder) -> None:
    sites = {Address(2**64 - 1): SiteId(0), Address(7): SiteId(2)}
    assert folder.read_addresses(WORLD.roster) == {}
    folder.write_addresses(WORLD.roster, sites)
    assert folder.read_addresses(WORLD.roster) == sites


@pytest.mark.parametrize("content", [b"", b"[]", b'{"site-0": "x"}', b'{"site-0": null}'])
def test_damaged_addresses_are_refused(folder: RoundFolder, content: bytes) -> None:
    folder.addresses.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        folder.read_addresses(WORLD.roster)
    assert caught.value.code == "damaged-addresses"


def test_addresses_of_an_unknown_site_are_refused(folder: RoundFolder) -> None:
    folder.addresses.write_bytes(b'{"elsewhere": 5}')
    with pytest.raises(UsageError) as caught:
        folder.read_addresses(WORLD.roster)
    assert caught.value.code == "not-in-roster"


def test_a_status_comes_back_as_it_was_written(folder: RoundFolder) -> None:
    status = fresh_status(HEADER, START)
    folder.write_status(status)
    assert folder.read_status() == status
    assert not status.over


@pytest.mark.parametrize("content", ["", "{}", '{"format": "concause-round-status/2"}'])
def test_a_damaged_status_is_refused(folder: RoundFolder, content: str) -> None:
    folder.status.write_text(content)
    with pytest.raises(UsageError) as caught:
        folder.read_status()
    assert caught.value.code == "damaged-status"


def test_a_status_of_a_later_form_is_not_half_read(folder: RoundFolder) -> None:
    document = json.loads(fresh_status(HEADER, START).model_dump_json())
    folder.status.write_text(json.dumps({**document, "mood": "good"}))
    with pytest.raises(UsageError):
        folder.read_status()


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")

    def fail(*_: object) -> None:
        raise TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        with pytest.raises(TimeoutError):
            replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def board(folder: RoundFolder) -> Board:
    return Board(folder, HEADER, FakeClock())


def written(folder: RoundFolder) -> RoundStatus:
    status = folder.read_status()
    assert status is not None
    return status


def test_the_board_writes_every_change(folder: RoundFolder) -> None:
    watched = board(folder)
    assert written(folder).step == "connect"
    watched.enter("share", frozenset({SiteId(0), SiteId(1)}), frozenset({SiteId(2)}))
    assert [site.state for site in written(folder).sites] == ["pending", "pending", "answered"]
    watched.answered(SiteId(0))
    watched.out(SiteId(1), "silence")
    assert [site.state for site in written(folder).sites] == ["answered", "dropped", "answered"]
    watched.close("complete")
    assert (written(folder).step, written(folder).over) == ("complete", True)


def test_the_board_says_when_a_site_refused_and_in_which_words(folder: RoundFolder) -> None:
    said = Refusal(category="budget", code="spent", cause="No.", remedy="Wait.", id="7")
    board(folder).out(SiteId(1), "budget/spent: No.", said)
    assert written(folder).sites[1].state == "refused"
    assert written(folder).sites[1].refusal == said


def test_the_board_gives_a_site_that_is_asked_again_a_clean_sheet(folder: RoundFolder) -> None:
    watched = board(folder)
    watched.out(SiteId(1), "silence")
    watched.enter("mask", frozenset({SiteId(1)}), frozenset())
    assert (written(folder).sites[1].state, written(folder).sites[1].reason) == ("pending", "")


def test_a_new_board_keeps_when_the_round_began(folder: RoundFolder) -> None:
    board(folder).close("failed", "power cut")
    later = FakeClock(slept_s=60)
    Board(folder, HEADER, later)
    status = written(folder)
    assert (status.started, status.updated) == (START, later.now())
    assert (status.outcome, status.reason) == ("running", "")


def test_reasons_are_bounded_and_cannot_move_a_cursor(folder: RoundFolder) -> None:
    watched = board(folder)
    watched.stranger(Address(5), "\x1b[2J" + "x" * 10_000)
    (stranger,) = written(folder).strangers
    assert stranger.reason.isprintable()
    assert len(stranger.reason) == 300


def test_printable_leaves_letters_of_all_languages() -> None:
    assert printable("Klinikum Köln\n\x00σ²") == "Klinikum Köln  σ²"


def test_a_refusal_is_read_as_it_was_sent() -> None:
    said = parse_refusal(refusal("policy", "other-study", "Not this one."))
    assert said == Refusal(
        category="policy", code="other-study", cause="Not this one.", remedy="", id="0123abcd"
    )


def test_a_refusal_cannot_move_a_cursor() -> None:
    assert parse_refusal(refusal("a", "b", "\x1b[31m")).cause == " [31m"


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"category":"a","cause":"c","code":"b","id":"i"}',
        b'{"category":"a","cause":"c","code":"b","id":"i","more":"x","remedy":"r"}',
        b'{"category":"a","cause":"c","code":"b","id":5,"remedy":"r"}',
        b'{"remedy":"r","category":"a","cause":"c","code":"b","id":"i"}',
        b"\xff\xfe",
    ],
)
def test_a_refusal_of_another_form_is_refused(document: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        parse_refusal(document)
    assert caught.value.code == "malformed-refusal"


def test_the_status_of_a_finished_round_is_plain_json(folder: RoundFolder) -> None:
    drive(folder, LoopbackTransport(doubles(WORLD)), FakeClock(), TIMINGS)
    document = json.loads(folder.status.read_text())
    assert document["format"] == "concause-round-status/1"
    assert document["round"] == WORLD.descriptor.session.hex()
    assert document["outcome"] == "complete"
    assert [site["name"] for site in document["sites"]] == ["site-0", "site-1", "site-2"]
