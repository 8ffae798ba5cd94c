"""`concause effect`, `compare`, `mediate`, `counterfactual`, `sensitivity`, as people type them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from concause import cli
from protocol.errors import ExitCode
from server.causal.model import Model
from tests.support.causal_models import mixed_model, model_of, study_of

VARIABLES = {
    "c": 'kind = "boolean"',
    "t": 'kind = "boolean"',
    "m": 'kind = "boolean"',
    "y": 'kind = "ordinal", levels = ["low", "middle", "high"]',
}
EDGES = ["c -> t", "c -> y", "t -> m", "m -> y", "t -> y"]


def small() -> Model:
    return model_of(study_of(VARIABLES, EDGES), spread=0.1)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("questions") / "model.json"
    path.write_text(small().to_json(), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("mixed") / "model.json"
    path.write_text(mixed_model().to_json(), encoding="utf-8")
    return str(path)


def document(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert cli.run([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


ON = ["--treatment", "t", "--outcome", "y"]


def test_an_effect_is_asked_of_levels_persons_and_ratios(
    release: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--event", "high", "--given", "c=1", "--measure", "risk-ratio"]
    found = document(capsys, "effect", release, *ON, *options)
    own = small().effect("t", "y", event="high", given={"c": 1}, measure="risk-ratio")
    assert found["estimate"] == pytest.approx(own.estimate)
    assert (found["event"], found["given"]) == ("high", "c = 1")
    assert cli.run(["effect", release, *ON, *options]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "risk ratio of y = high, given c = 1" in shown
    assert (
        "rests on: The graph, by which there is no unmeasured confounding: adjusting for c" in shown
    )


def test_a_policy_is_compared_with_what_happens_and_with_a_level(
    release: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--outcome", "y", "--policy", "t=c == 1", "--event", "low", "--event", "middle"]
    found = document(capsys, "compare", release, *options)
    from server.causal.worlds.interventions import policy  # noqa: PLC0415

    own = small().compare("y", {"t": policy("c == 1")}, event=["low", "middle"])
    assert found["estimate"] == pytest.approx(own.estimate)
    against = document(capsys, "compare", release, *options, "--against", "t=1")
    assert against["estimate"] != found["estimate"]
    assert against["reference"] == "1"


def test_an_effect_is_split_by_mediators(release: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "mediate", release, *ON, "--mediator", "m")
    parts = {name: one["estimate"] for name, one in found["effects"].items()}
    assert parts["direct"] + parts["indirect"] == pytest.approx(parts["total"])
    assert found["rung"] == "counterfactual"
    assert cli.run(["mediate", release, *ON, "--mediator", "m", "--kind", "interventional"]) == 0
    assert "interventional effects" in capsys.readouterr().out


def test_a_share_of_persons_comes_with_its_bounds(
    release: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--do", "t=1", "--outcome", "y", "--event", "high", "--given", "t=0"]
    found = document(capsys, "counterfactual", release, *options, "--given", "y=low")
    assert found["lower"] <= found["estimate"] <= found["upper"]
    assert found["sharpness"] == "outer"
    assert cli.run(["counterfactual", release, *options, "--given", "y=low"]) == 0
    assert "between" in capsys.readouterr().out


def test_persons_are_written_as_they_would_be(
    mixed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "would.parquet"
    options = ["--do", "treated=1", "--out", str(out), "--rows", "200"]
    found = document(capsys, "counterfactual", mixed, *options)
    assert found["rows"] == 200
    table = pq.read_table(out)
    assert json.loads(table.schema.metadata[b"concause"])["rung"] == "counterfactual"
    persons = tmp_path / "persons.csv"
    table.to_pandas()[["sex", "stage", "dose", "treated", "pressure", "stay", "stay_event"]].to_csv(
        persons, index=False
    )
    options = [
        "--do",
        "treated=1",
        "--persons",
        str(persons),
        "--out",
        str(tmp_path / "own.parquet"),
    ]
    assert cli.run(["counterfactual", mixed, *options]) == 0
    assert "200 persons written" in capsys.readouterr().out
    own = pq.read_table(tmp_path / "own.parquet").to_pandas()
    assert own["pressure_would"].to_numpy() == pytest.approx(
        table.column("pressure_would").to_numpy(), rel=1e-9
    )


def test_sensitivity_says_how_strong_a_confounder_must_be(
    release: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    svg = tmp_path / "curve.svg"
    found = document(capsys, "sensitivity", release, *ON, "--svg", str(svg))
    assert found["tipping"] > 1
    assert found["e_values"]["estimate"] > 1
    assert svg.read_text(encoding="utf-8").startswith("<svg")
    assert cli.run(["sensitivity", release, *ON, "--event", "high"]) == 0
    assert "-fold odds" in capsys.readouterr().out


def test_sensitivity_to_missing_values(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    variables = {
        "t": 'kind = "boolean"',
        "y": 'kind = "boolean", missing = true',
        "y_missing": 'kind = "missingness", of = "y"',
    }
    path = tmp_path / "model.json"
    path.write_text(
        model_of(study_of(variables, ["t -> y", "t -> y_missing"]), spread=0.1).to_json()
    )
    found = document(capsys, "sensitivity", str(path), *ON, "--missing")
    assert len(found["curve"]) > 5
    assert np.isfinite(found["curve"][0]["estimate"])


BAD = [
    (["effect", "--treatment", "tt", "--outcome", "y"], "unknown-node"),
    (["effect", *ON, "--given", "c"], "not-an-assignment"),
    (["effect", *ON, "--given", "c=1", "--given", "c=0"], "not-an-assignment"),
    (["effect", *ON, "--given", "m=1"], "given-is-changed"),
    (["effect", *ON, "--event", "highest"], "unknown-level"),
    (["effect", *ON, "--treated", "2"], "value-outside-domain"),
    (["effect", *ON, "--measure", "hazard-ratio"], "measure-does-not-fit"),
    (["compare", "--outcome", "y", "--policy", "t=y == 'low'"], "cyclic-policy"),
    (["compare", "--outcome", "y", "--do", "tt=1"], "unknown-node"),
    (["compare", "--outcome", "y", "--do", "t=1", "--policy", "t=c"], "set-twice"),
    (["mediate", *ON, "--mediator", "c"], "not-a-mediator"),
    (["mediate", *ON, "--mediator", "mm"], "unknown-node"),
    (["counterfactual", "--do", "t=1"], "share-or-rows"),
    (["counterfactual", "--do", "t=1", "--outcome", "y", "--out", "x.parquet"], "share-or-rows"),
    (["counterfactual", "--do", "t=1", "--outcome", "y"], "no-event"),
    (["counterfactual", "--outcome", "y", "--event", "low"], "no-intervention"),
    (["counterfactual", "--do", "t=1", "--out", "x.csv"], "unknown-format"),
    (
        ["counterfactual", "--do", "t=1", "--out", "x.parquet", "--persons", "no.csv"],
        "rows-not-readable",
    ),
    (
        ["counterfactual", "--do", "t=1", "--out", "x.parquet", "--persons", "no.txt"],
        "unknown-format",
    ),
    (["sensitivity", *ON, "--prevalence", "2"], "share-out-of-range"),
    (["sensitivity", *ON, "--missing"], "no-indicator"),
    (["sensitivity", "--treatment", "t", "--outcome", "yy"], "unknown-node"),
]


@pytest.mark.parametrize(("words", "code"), BAD, ids=lambda it: it if isinstance(it, str) else "")
def test_questions_that_cannot_be_are_refused(
    words: list[str],
    code: str,
    release: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    command, *options = words
    assert cli.run([command, release, *options, "--json"]) == ExitCode.USAGE
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["code"] == code
    assert error["remedy"]
    assert not list(tmp_path.iterdir())
