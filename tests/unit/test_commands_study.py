"""`concause study plan` and `direct`: what answers to expect, and budgets directed at them."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import concause
from concause import cli
from protocol.errors import ExitCode
from protocol.privacy.plan import compile_plan
from protocol.study.document import parse_study
from server.commands.directed_study import with_plan, without_plan
from tests.support.release_folders import write
from tests.support.release_rounds import STUDY, play_round
from tests.support.studies import STUDY_TEXT, VISITS_TEXT


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study-commands") / "release"
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


def test_plan_says_what_error_to_expect_of_every_answer(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["study", "plan", str(study), "--persons", "2000", "--json"]) == ExitCode.OK
    document = printed(capsys)
    (question,) = document["questions"]
    assert document["persons"] == 2000
    assert question["unit"] == "h"
    parts = question["privacy"] ** 2 + question["sampling"] ** 2
    assert question["standard_error"] ** 2 == pytest.approx(parts)
    half, twice, some, more = (one["standard_error"] for one in question["scenarios"])
    assert half > question["standard_error"] > twice
    assert more > some > question["standard_error"]
    assert cli.run(["study", "plan", str(study)]) == ExitCode.OK
    assert "10,000 persons" in capsys.readouterr().out


def test_plan_of_more_persons_expects_smaller_errors(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = []
    for persons in ("1000", "100000"):
        assert cli.run(["study", "plan", str(study), "--persons", persons, "--json"]) == 0
        errors.append(printed(capsys)["questions"][0]["standard_error"])
    assert errors[1] < errors[0] / 5


def test_plan_takes_persons_and_tables_of_a_release(
    study: Path, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["study", "plan", str(study), "--prior", str(release), "--json"]) == ExitCode.OK
    assert printed(capsys)["persons"] == pytest.approx(2100, rel=0.1)


def test_plan_says_why_nothing_is_expected_of_an_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = STUDY.replace("shift -> coffee", "coffee -> shift").replace(', "coffee -> sleep"', "")
    path = written(tmp_path, text.replace('"shift -> sleep"', '"sleep -> shift"'))
    assert cli.run(["study", "plan", str(path), "--json"]) == ExitCode.OK
    (question,) = printed(capsys)["questions"]
    assert "the effect is zero" in question["unforeseen"]
    assert cli.run(["study", "plan", str(path)]) == ExitCode.OK
    assert "the effect is zero" in capsys.readouterr().out
    assert cli.run(["study", "direct", str(path), "--json"]) == ExitCode.USAGE
    assert refusal(capsys)["code"] == "nothing-to-direct"


def test_direct_writes_a_study_that_keeps_its_words_and_its_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, out = written(tmp_path, STUDY_TEXT), tmp_path / "new" / "directed.toml"
    assert cli.run(["study", "direct", str(study), "--out", str(out), "--json"]) == ExitCode.OK
    document = printed(capsys)
    text = out.read_text()
    assert text.startswith(STUDY_TEXT)
    directed = parse_study(text)
    assert document["study_hash"] == directed.hash.hex()
    assert document["follows"] is None
    plans = [compile_plan(each) for each in (parse_study(STUDY_TEXT), directed)]
    assert float(plans[1].rho) == pytest.approx(float(plans[0].rho), rel=1e-3)
    assert {entry.clique for entry in directed.plan.weights} == {
        block.clique for block in plans[0].blocks
    }
    assert document["questions"][0]["privacy"] < document["before"][0]["privacy"]


def test_direct_again_changes_nothing(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["study", "direct", str(study), "--out", str(study)]) == ExitCode.OK
    once = study.read_text()
    assert cli.run(["study", "direct", str(study), "--out", str(study)]) == ExitCode.OK
    assert study.read_text() == once
    assert "study written to" in capsys.readouterr().out


def test_direct_without_out_writes_nothing(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["study", "direct", str(study)]) == ExitCode.OK
    assert study.read_text() == STUDY
    assert "nothing written" in capsys.readouterr().out


def test_direct_follows_the_release_that_it_is_planned_with(
    study: Path, release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "second.toml"
    arguments = ["study", "direct", str(study), "--prior", str(release), "--out", str(out)]
    assert cli.run([*arguments, "--json"]) == ExitCode.OK
    follows = printed(capsys)["follows"]
    assert follows == concause.load(release).study.hash.hex()
    assert parse_study(out.read_text()).plan.follows == follows
    assert cli.run([*arguments, "--no-follow", "--json"]) == ExitCode.OK
    assert printed(capsys)["follows"] is None
    assert parse_study(out.read_text()).plan.follows is None


def test_an_earlier_round_lowers_what_is_expected(
    study: Path, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    privacy = []
    for options in ([], ["--no-follow"]):
        arguments = ["study", "direct", str(study), "--prior", str(release), *options, "--json"]
        assert cli.run(arguments) == ExitCode.OK
        privacy.append(printed(capsys)["questions"][0]["privacy"])
    assert privacy[0] < privacy[1]


@pytest.mark.parametrize("command", ["plan", "direct"])
def test_a_release_of_another_graph_is_no_prior(
    command: str, release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, STUDY.replace('"shift -> coffee", ', ""))
    arguments = ["study", command, str(path), "--prior", str(release), "--json"]
    assert cli.run(arguments) == ExitCode.USAGE
    assert refusal(capsys)["code"] == "other-measures"


def test_a_file_that_is_no_release_is_no_prior(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["study", "direct", str(study), "--prior", str(study), "--json"]
    assert cli.run(arguments) == ExitCode.USAGE
    assert refusal(capsys)["code"] == "model-invalid"
    assert cli.run([*arguments[:-2], "nowhere", "--json"]) != ExitCode.OK
    assert refusal(capsys)["code"] == "model-unreadable"


def test_a_study_without_questions_is_not_directed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, STUDY[: STUDY.index("[[questions]]")])
    assert cli.run(["study", "direct", str(path), "--json"]) == ExitCode.USAGE
    assert refusal(capsys)["code"] == "nothing-to-direct"
    assert cli.run(["study", "plan", str(path), "--json"]) == ExitCode.OK
    assert printed(capsys)["questions"] == []


def test_text_that_is_no_toml_is_not_directed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "name = [")
    assert cli.run(["study", "direct", str(path), "--json"]) == ExitCode.USAGE
    assert refusal(capsys)["code"] == "study-not-toml"


def test_an_old_plan_is_taken_out_with_its_weights_wherever_it_stands() -> None:
    entry = '[[plan.weights]]\nclique = ["sex"]\nweight = 2\n\n'
    follows = f'[plan]\nfollows = "{64 * "1"}"\n\n'
    text = STUDY_TEXT.replace("[trust]", f"{follows}[trust]").replace("[graph]", f"{entry}[graph]")
    assert parse_study(text).plan.weights
    assert "plan" not in without_plan(text)
    weights = {("sex",): Decimal(3), (): Decimal("0.5")}
    plan_of = parse_study(with_plan(text, weights, "0" * 64)).plan
    assert plan_of.follows == "0" * 64
    assert {entry.clique: entry.weight for entry in plan_of.weights} == weights


def test_columns_of_visits_are_named_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, VISITS_TEXT)
    assert cli.run(["study", "plan", str(path)]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert "cd4[t-1] x drug[t] in transitions" in shown
    assert "at most 1 row at each of 3 visits at a site" in shown
    assert "rules, without error: low[0], low[t]" in shown


def test_plan_warns_of_tables_that_drown_in_noise(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["study", "plan", str(study), "--persons", "5"]) == ExitCode.OK
    assert "caution: a cell of sleep has" in capsys.readouterr().out
    assert cli.run(["study", "plan", str(study), "--persons", "20000"]) == ExitCode.OK
    assert "caution" not in capsys.readouterr().out


def test_help_says_what_direct_writes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["study", "direct", "--help"]) == ExitCode.OK
    assert "write its section plan" in capsys.readouterr().out


def test_questions_that_the_graph_settles_are_cautioned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = STUDY.replace('treatment = "coffee"', 'treatment = "sleep"').replace(
        'outcome = "sleep"', 'outcome = "nap"'
    )
    text = text.replace("treated = 1", "treated = 8").replace("reference = 0", "reference = 4")
    text = text.replace("[graph]", '[variables.nap]\nkind = "boolean"\n\n[graph]')
    assert cli.run(["study", "check", str(written(tmp_path, text)), "--json"]) == ExitCode.OK
    (caution,) = printed(capsys)["cautions"]
    assert "The graph has no path from sleep to nap" in caution


def test_levels_in_one_bin_are_not_forecast_as_certain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = STUDY.replace('treatment = "coffee"', 'treatment = "age"')
    text = text.replace("treated = 1", "treated = 31").replace("reference = 0", "reference = 30")
    text = text.replace(
        "[graph]", '[variables.age]\nkind = "numeric"\nedges = [20, 50, 80]\n\n[graph]'
    ).replace('"shift -> coffee"', '"shift -> coffee", "age -> sleep"')
    assert cli.run(["study", "plan", str(written(tmp_path, text)), "--json"]) == ExitCode.OK
    (question,) = printed(capsys)["questions"]
    assert "31 and 30 are in one bin of 'age'" in question["unforeseen"]


def test_identify_says_how_or_what_prevents(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, STUDY_TEXT.replace('"sex -> quit"', '"sex -> quit", "sex <-> weight"'))
    assert cli.run(["study", "identify", str(path), "--json"]) == 0
    (found,) = printed(capsys)["effects"]
    assert found["identified"]
    options = ["--treatment", "sex", "--outcome", "weight"]
    assert cli.run(["study", "identify", str(path), *options]) == 0
    assert "not identified: the open path sex <-> weight" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--treatment", "sex"], "half-a-question"),
        (["--treatment", "sexx", "--outcome", "weight"], "unknown-node"),
        (["--treatment", "sex", "--outcome", "sex"], "treatment-is-outcome"),
    ],
)
def test_identify_refuses_half_a_question(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: str
) -> None:
    path = written(tmp_path, STUDY_TEXT)
    assert cli.run(["study", "identify", str(path), *options, "--json"]) == ExitCode.USAGE
    assert refusal(capsys)["code"] == code
