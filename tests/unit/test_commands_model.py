"""What a researcher asks of a model of every kind, from the command line."""

import json
from pathlib import Path

import pandas as pd
import pytest

from concause import cli
from tests.support.causal_models import mixed_model, visits_model


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved(tmp_path_factory, mixed_model().to_json())


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved(tmp_path_factory, visits_model().to_json())


def saved(factory: pytest.TempPathFactory, text: str) -> str:
    path = factory.mktemp("models") / "model.json"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_parameters_are_shown_as_a_table(mixed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["parameters", mixed, "pressure"]) == 0
    shown = capsys.readouterr().out
    assert "(constant)" in shown
    assert "95% interval" in shown


def test_parameters_as_json_are_those_of_the_model(
    mixed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["parameters", mixed, "stage", "--level", "0.9", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["node"], document["level"]) == ("stage", 0.9)
    expected = mixed_model().parameters("stage", 0.9)
    assert len(document["parameters"]) == len(expected)
    first = document["parameters"][0]
    assert first["of"] == {"sex": "female", "stage": "I"}
    assert first["high"] == expected["high"].iloc[0]


def test_parameters_of_a_rule_are_refused(mixed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["parameters", mixed, "dose"]) == 2
    assert "no-parameters" in capsys.readouterr().err


def test_measure_of_an_effect_is_passed_on(mixed: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--treatment", "treated", "--outcome", "stay", "--measure", "hazard-ratio"]
    assert cli.run(["effect", mixed, *options, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["measure"], document["method"]) == ("hazard-ratio", "exact")


def test_simulated_effect_is_shown_with_its_error(
    mixed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["effect", mixed, "--treatment", "treated", "--outcome", "pressure"]) == 0
    assert "simulation" in capsys.readouterr().out


def test_long_samples_have_a_row_per_unit_and_visit(
    visits: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.csv"
    options = ["--rows", "5", "--long", "--do", "drug=1", "--copies", "2"]
    assert cli.run(["sample", visits, "--out", str(out), *options]) == 0
    assert "5 units written" in capsys.readouterr().out
    frame = pd.read_csv(tmp_path / "rows-002.csv")
    assert list(frame["visit"]) == [0, 1, 2] * 5
    assert (frame["drug"] == 1).all()


def test_effects_say_what_they_are_of_and_in_which_unit(
    mixed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stay = ["effect", mixed, "--treatment", "treated", "--outcome", "stay"]
    assert cli.run(stay) == 0
    assert "difference in the risk of stay" in capsys.readouterr().out
    assert cli.run([*stay, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["measure"], document["unit"], document["certain"]) == ("risk", "", "")


def test_an_effect_without_a_path_is_not_shown_as_a_finding(
    mixed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["effect", mixed, "--treatment", "treated", "--outcome", "age"]) == 0
    assert "The graph has no path from treated to age" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("node", "scale"),
    [
        ("sex", "probability of sex"),
        ("stay", "probability that stay comes in an interval"),
        ("pressure", "mean of pressure: a constant, and slopes per unit of each cause"),
        ("treated", "log odds of treated: a constant"),
    ],
)
def test_parameters_say_what_they_are_of(
    mixed: str, capsys: pytest.CaptureFixture[str], node: str, scale: str
) -> None:
    assert cli.run(["parameters", mixed, node]) == 0
    assert scale in capsys.readouterr().out


def test_a_number_outside_the_edges_is_refused_with_its_bounds(
    mixed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--treatment", "age", "--treated", "99", "--reference", "30"]
    assert cli.run(["effect", mixed, *options, "--outcome", "visits"]) == 2
    shown = capsys.readouterr().err
    assert "declared domain of 'age', found '99'" in shown
    assert "a number from 25 to 75" in shown


def test_samples_that_cannot_be_written_are_told_from_defects(
    mixed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "rows.csv"
    assert cli.run(["sample", mixed, "--out", str(out), "--rows", "2"]) == 6
    assert "file-not-written" in capsys.readouterr().err
