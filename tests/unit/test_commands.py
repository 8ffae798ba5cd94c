"""The commands of coordinator and researcher, with what they print and their exit codes."""

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer

import concause
from concause import cli
from protocol.errors import ExitCode
from protocol.secagg.roster import parse_roster
from protocol.study.document import parse_study
from server.rounds.folder import RoundFolder
from tests.support.release_folders import write
from tests.support.release_rounds import STUDY, play_round

KEYS = {name: f"{number:02x}" * 32 for number, name in enumerate(("north", "south"), start=1)}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commands") / "release"
    write(folder, play_round())
    return folder


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture
def coordinator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    folder = tmp_path / "coordinator"
    assert cli.run(["coordinator", "init", "demo", "--folder", str(folder), "--insecure"]) == 0
    capsys.readouterr()
    return folder / "coordinator.toml"


@contextmanager
def kept_signals() -> Iterator[None]:
    """Put back the handlers that a command replaces."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def refusal(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    found: dict[str, str] = json.loads(capsys.readouterr().err)["error"]
    return found


def test_study_check_prints_graph_and_hash(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["study", "check", str(study), "--json"]) == ExitCode.OK
    document = printed(capsys)
    assert document["study_hash"] == parse_study(STUDY).hash.hex()
    assert document["name"] == "coffee-on-sleep"


def test_study_plan_prints_what_a_round_would_cost(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["study", "plan", str(study), "--json"]) == ExitCode.OK
    document = printed(capsys)
    assert document["cells"] == sum(prod(block["shape"]) for block in document["blocks"])
    assert 3.99 < document["epsilon"] <= 4
    assert {mechanism["node"] for mechanism in document["mechanisms"]} == set(
        parse_study(STUDY).variables
    )


@pytest.mark.parametrize("command", ["check", "plan"])
def test_study_commands_print_tables_for_people(
    command: str, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["study", command, str(study)]) == ExitCode.OK
    assert "sleep" in capsys.readouterr().out


def test_a_missing_study_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["study", "check", str(tmp_path / "none.toml"), "--json"]) == ExitCode.USAGE
    assert refusal(capsys)["code"] == "file-not-found"


def test_a_study_that_is_no_text_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.toml").write_bytes(b"\xff\xfe")
    assert cli.run(["study", "check", str(tmp_path / "study.toml"), "--json"]) == ExitCode.USAGE
    assert refusal(capsys)["code"] == "file-not-readable"


def test_an_unknown_flag_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["study", "check", "--frob"]) == ExitCode.USAGE
    assert "--frob" in capsys.readouterr().err


def test_sampling_writes_the_rows_asked_for(release: Path, tmp_path: Path) -> None:
    for name, read in (("rows.parquet", pd.read_parquet), ("rows.csv", pd.read_csv)):
        out = tmp_path / "made" / name
        options = ["--rows", "50", "--do", "coffee=1", "--out", str(out)]
        assert cli.run(["sample", str(release), *options]) == ExitCode.OK
        frame = read(out)
        assert len(frame) == 50
        assert (frame["coffee"] == 1).all()


def test_several_copies_are_written_from_several_draws(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--rows", "50", "--copies", "3", "--out", str(tmp_path / "rows.csv"), "--json"]
    assert cli.run(["sample", str(release), *options]) == ExitCode.OK
    paths = json.loads(capsys.readouterr().out)["paths"]
    assert paths == [str(tmp_path / f"rows-00{number}.csv") for number in (1, 2, 3)]
    copies = list(concause.load(release).sample_copies(3, rows=50, seed=1))
    for path, expected in zip(paths, copies, strict=True):
        assert pd.read_csv(path)["sleep"].tolist() == pytest.approx(expected["sleep"].tolist())


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--out", "rows.xml"], "unknown-format"),
        (["--out", "rows.csv", "--copies", "201"], "copies-out-of-range"),
        (["--out", "rows.csv", "--do", "coffee"], "not-an-assignment"),
        (["--out", "rows.csv", "--do", "tea=1"], "unknown-node"),
    ],
)
def test_sampling_refuses_what_it_cannot_do(
    options: list[str], code: str, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["sample", str(release), *options, "--json"]) == ExitCode.USAGE
    assert refusal(capsys)["code"] == code


def test_effect_prints_estimate_and_interval(
    release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    question = ["--treatment", "coffee", "--outcome", "sleep"]
    assert cli.run(["effect", str(release), *question, "--json"]) == ExitCode.OK
    document = printed(capsys)
    assert document["low"] < document["estimate"] < document["high"]
    assert cli.run(["effect", str(release), *question]) == ExitCode.OK
    assert f"{document['estimate']:.3f}" in capsys.readouterr().out


def test_a_folder_that_is_no_release_is_said_to_be_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert cli.run(["release", "verify", str(tmp_path), "--json"]) == ExitCode.USAGE
    assert refusal(capsys)["code"] == "no-release"


def test_a_model_shows_itself_in_one_line(release: Path) -> None:
    model = concause.load(release)
    assert repr(model.do({"coffee": 1})) == (
        "<concause model 'coffee-on-sleep': 3 variables, 3 arrows, 3 sites, do(coffee)>"
    )


def test_release_verify_ends_with_a_code_of_its_own_when_a_byte_was_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "release"
    write(folder, play_round())
    roster = tmp_path / "roster.json"
    roster.write_bytes((folder / "roster.json").read_bytes())
    pinned = ["--roster", str(roster)]
    assert cli.run(["release", "verify", str(folder), *pinned]) == ExitCode.OK
    model = bytearray((folder / "model.json").read_bytes())
    model[len(model) // 2] ^= 1
    (folder / "model.json").write_bytes(model)
    capsys.readouterr()
    assert cli.run(["release", "verify", str(folder), *pinned, "--json"]) == ExitCode.PEER
    failed = [check for check in printed(capsys)["checks"] if not check["passed"]]
    assert [check["file"] for check in failed] == ["model.json"]


def test_enrolling_sites_makes_the_roster(
    coordinator: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["north", KEYS["north"]], [f"south={KEYS['south']}"]):
        enrol = ["coordinator", "enrol", *arguments, "--config", str(coordinator), "--json"]
        assert cli.run(enrol) == ExitCode.OK
        document = printed(capsys)
    roster = parse_roster((coordinator.parent / "roster.json").read_bytes())
    assert [site.name for site in roster.sites] == list(KEYS)
    assert document["roster_hash"] == roster.hash.hex()


@pytest.mark.parametrize(
    ("site", "key", "code"),
    [
        ("north", KEYS["south"], "duplicate-site"),
        ("south", KEYS["north"], "duplicate-key"),
        ("west", "abc", "not-a-public-key"),
        ("West Side", KEYS["south"], "roster-name"),
    ],
)
def test_enrolling_refuses_what_is_no_new_site(
    site: str, key: str, code: str, coordinator: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ["--config", str(coordinator), "--json"]
    cli.run(["coordinator", "enrol", "north", KEYS["north"], *config])
    before = (coordinator.parent / "roster.json").read_bytes()
    capsys.readouterr()
    assert cli.run(["coordinator", "enrol", site, key, *config]) == ExitCode.USAGE
    assert refusal(capsys)["code"] == code
    assert (coordinator.parent / "roster.json").read_bytes() == before


def test_a_coordinator_is_never_overwritten(
    coordinator: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = ["coordinator", "init", "demo", "--folder", str(coordinator.parent), "--json"]
    assert cli.run(again) == ExitCode.USAGE
    assert refusal(capsys)["code"] == "coordinator-exists"


def test_a_coordinators_folder_is_closed_to_others(coordinator: Path) -> None:
    for path in (coordinator.parent, *(coordinator.parent / "keys").iterdir()):
        assert path.stat().st_mode & 0o077 == 0


def test_a_round_is_not_issued_where_its_release_would_find_no_place(
    coordinator: Path, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "release").mkdir()
    argv = ["round", "start", str(study), "--release", str(tmp_path / "release")]
    assert cli.run([*argv, "--config", str(coordinator), "--json"]) == ExitCode.USAGE
    assert refusal(capsys)["code"] == "release-exists"
    assert not (coordinator.parent / "rounds").exists()


def test_a_round_needs_a_study_or_a_round_to_resume(
    coordinator: Path, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ["--config", str(coordinator), "--json"]
    for arguments in ([], [str(study), "--resume", "anything"]):
        assert cli.run(["round", "start", *arguments, *config]) == ExitCode.USAGE
        assert refusal(capsys)["code"] == "study-or-resume"


@pytest.fixture
def listening(coordinator: Path) -> Iterator[None]:
    """Have something listen where the SuperLink should."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        coordinator.write_text(coordinator.read_text().replace(":8000", f":{port}"))
        yield


@pytest.mark.usefixtures("listening")
def test_a_coordinator_whose_port_is_taken_says_so(
    coordinator: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["coordinator", "start", "--config", str(coordinator)]
    with kept_signals():
        assert cli.run(start) == ExitCode.INFRASTRUCTURE
    assert "port-in-use" in capsys.readouterr().err


def test_a_round_without_a_superlink_is_refused_before_a_counter_is_used(
    coordinator: Path, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    coordinator.write_text(coordinator.read_text().replace(":8000", f":{port}"))
    start = ["round", "start", str(study), "--config", str(coordinator), "--json"]
    assert cli.run(start) == ExitCode.INFRASTRUCTURE
    assert refusal(capsys)["code"] == "no-superlink"
    assert not (coordinator.parent / "counter").exists()


@pytest.mark.usefixtures("listening")
def test_a_round_for_too_small_a_roster_is_refused_before_a_counter_is_used(
    coordinator: Path, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ["--config", str(coordinator), "--json"]
    cli.run(["coordinator", "enrol", "north", KEYS["north"], *config])
    capsys.readouterr()
    assert cli.run(["round", "start", str(study), *config]) == ExitCode.USAGE
    assert refusal(capsys)["code"] == "roster-too-small"
    assert not (coordinator.parent / "counter").exists()


def test_round_status_lists_no_rounds_at_first_and_knows_no_other_folder(
    coordinator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ["--config", str(coordinator), "--json"]
    assert cli.run(["round", "status", *config]) == ExitCode.OK
    assert printed(capsys) == {"rounds": []}
    assert cli.run(["round", "status", str(tmp_path), *config]) == ExitCode.USAGE
    assert refusal(capsys)["code"] == "no-round"


def test_a_fault_of_ours_says_so_and_holds_back_its_text(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: RoundFolder) -> None:
        raise RuntimeError("a secret value")

    monkeypatch.setattr(RoundFolder, "read_status", fail)
    assert cli.run(["round", "status", str(tmp_path)]) == ExitCode.BUG
    complaint = capsys.readouterr().err
    assert "RuntimeError" in complaint
    assert "secret" not in complaint


def test_an_interruption_ends_with_its_own_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(_: RoundFolder) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RoundFolder, "read_status", stop)
    assert cli.run(["round", "status", str(tmp_path)]) == ExitCode.INTERRUPTED
    assert "Stopped" in capsys.readouterr().err


def test_an_abort_at_a_question_ends_with_the_code_of_an_interruption(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def leave(_: RoundFolder) -> None:
        raise typer.Abort

    monkeypatch.setattr(RoundFolder, "read_status", leave)
    assert cli.run(["round", "status", str(tmp_path)]) == ExitCode.INTERRUPTED
