"""`concause study refine`: edges from a release, all other words of a study as they were."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from concause import cli
from protocol.errors import ExitCode
from protocol.study.document import parse_study
from protocol.study.variables import Numeric
from server.commands.refined_study import with_edges
from tests.support.causal_models import mixed_model
from tests.support.release_folders import write
from tests.support.release_rounds import STUDY, play_round
from tests.support.studies import MIXED_TEXT, edited
from tests.support.two_rounds import following


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refine") / "release"
    write(folder, play_round())
    return folder


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return written(tmp_path, STUDY)


def written(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text)
    return path


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def refusal(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    found: dict[str, str] = json.loads(capsys.readouterr().err)["error"]
    return found


def test_only_name_and_edges_change(
    study: Path, release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "refined.toml"
    arguments = ["study", "refine", str(study), "--prior", str(release)]
    arguments += ["--quantiles", "sleep:5", "--out", str(out), "--json"]
    assert cli.run(arguments) == ExitCode.OK
    document = printed(capsys)
    refined = parse_study(out.read_text())
    sleep = refined.variables["sleep"]
    assert isinstance(sleep, Numeric)
    assert (sleep.edges[0], sleep.edges[-1]) == (Decimal(3), Decimal(9))
    assert sleep.size == 5
    assert document["name"] == refined.name == "coffee-on-sleep-refined"
    assert document["study_hash"] == refined.hash.hex()
    assert document["variables"][0]["edges"] == [str(edge) for edge in sleep.edges]
    pairs = zip(STUDY.splitlines(), out.read_text().splitlines(), strict=True)
    changed = [old.partition(" ")[0] for old, new in pairs if old != new]
    assert changed == ["name", "edges"]


def test_without_out_nothing_is_written(
    study: Path, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["study", "refine", str(study), "--prior", str(release), "--quantiles", "sleep:4"]
    assert cli.run(arguments) == ExitCode.OK
    assert study.read_text() == STUDY
    shown = capsys.readouterr().out
    assert "nothing written" in shown
    assert "old plan" not in shown


def test_an_old_plan_is_left_out_and_said_to_be(
    tmp_path: Path, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "refined.toml"
    arguments = ["study", "refine", str(written(tmp_path, following())), "--prior", str(release)]
    assert cli.run([*arguments, "--quantiles", "sleep:4", "--out", str(out)]) == ExitCode.OK
    assert "the old plan is left out" in capsys.readouterr().out
    assert parse_study(out.read_text()).plan.follows is None


def test_merged_bins_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model.json"
    model.write_text(mixed_model().to_json())
    study = written(tmp_path, MIXED_TEXT)
    arguments = ["study", "refine", str(study), "--prior", str(model), "--quantiles", "visits:9"]
    assert cli.run(arguments) == ExitCode.OK
    assert "bins instead of 9" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (["sleep"], "not-quantiles"),
        (["sleep:few"], "not-quantiles"),
        (["sleep:4", "sleep:5"], "not-quantiles"),
        (["coffee:4"], "not-numeric"),
        (["tea:4"], "other-variable"),
        (["sleep:1"], "too-few-bins"),
    ],
)
def test_requests_that_cannot_be_met_are_refused(
    study: Path, release: Path, asked: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [word for one in asked for word in ("--quantiles", one)]
    arguments = ["study", "refine", str(study), "--prior", str(release), *options, "--json"]
    assert cli.run(arguments) == ExitCode.USAGE
    assert refusal(capsys)["code"] == code


def test_a_variable_with_other_edges_than_in_the_release_is_refused(
    tmp_path: Path, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = written(tmp_path, STUDY.replace("[3, 5, 7, 9]", "[3, 5, 9]"))
    arguments = ["study", "refine", str(study), "--prior", str(release), "--quantiles", "sleep:4"]
    assert cli.run([*arguments, "--json"]) == ExitCode.USAGE
    assert refusal(capsys)["code"] == "other-variable"


def test_a_study_that_names_an_old_bin_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    text = edited(
        "[graph]",
        'age = { kind = "binned", impossible = [{ age = "[25, 50)" }] }\n\n[graph]',
        MIXED_TEXT,
    )
    with pytest.raises(Exception, match="old bins") as caught:
        with_edges(text, {"age": [Decimal(25), Decimal(40), Decimal(75)]})
    assert getattr(caught.value, "code", None) == "refined-study"
    assert capsys.readouterr().out == ""


def test_long_names_make_room_for_the_suffix() -> None:
    text = STUDY.replace('name = "coffee-on-sleep"\ntitle', f'name = "{"a" * 64}"\ntitle')
    refined = parse_study(with_edges(text, {"sleep": [Decimal(3), Decimal(4), Decimal(9)]}))
    assert refined.name == "a" * 56 + "-refined"


def test_a_place_that_cannot_be_written_is_named(
    study: Path, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["study", "refine", str(study), "--prior", str(release), "--quantiles", "sleep:4"]
    inside_a_file = str(study / "refined.toml")
    assert cli.run([*arguments, "--out", inside_a_file, "--json"]) == ExitCode.INFRASTRUCTURE
    assert refusal(capsys)["code"] == "file-not-written"
