"""Real processes on loopback: a study of every kind of mechanism, and one over visits."""

import json
from pathlib import Path

import pytest

import concause
from deploy.demo.__main__ import THREE
from deploy.demo.consortium import Scenario, approve, make_consortium
from deploy.demo.processes import running_consortium
from protocol.errors import ExitCode
from server.causal.model import Model
from server.rounds.coordinator_config import load_coordinator_config
from tests.e2e.commands import concause_command
from tests.support.scenarios import (
    HAZARD_RATIO,
    HEIGHT_ON_WEIGHT,
    LONGITUDINAL,
    MIXED,
    always_against_never,
)

pytestmark = pytest.mark.e2e


def released(folder: Path, scenario: Scenario) -> Path:
    """Return the release of one round of a scenario, verified."""
    consortium = make_consortium(folder, 3, THREE, scenario)
    config = load_coordinator_config(consortium.coordinator)
    release = folder / "release"
    with running_consortium(config, consortium.sites, folder / "logs"):
        for site in consortium.sites:
            approve(site, consortium.study)
        done = concause_command(
            *("round", "start", consortium.study, "--config", consortium.coordinator),
            *("--release", release, "--json"),
        )
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    roster = consortium.coordinator.parent / "roster.json"
    verified = concause_command("release", "verify", release, "--roster", roster, "--json")
    assert verified.returncode == ExitCode.OK, verified.stdout
    return release


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return released(tmp_path_factory.mktemp("mixed"), MIXED)


@pytest.fixture(scope="module")
def longitudinal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return released(tmp_path_factory.mktemp("longitudinal"), LONGITUDINAL)


@pytest.fixture(scope="module")
def model(mixed: Path) -> Model:
    return concause.load(mixed)


def test_a_mixed_study_is_answered_near_the_truth(model: Model) -> None:
    # Six standard errors: noise is fresh in every run, and no interval holds for sure.
    weight = model.effect("height", "weight", 180, 160)
    assert abs(weight.estimate - 20 * HEIGHT_ON_WEIGHT) < 6 * weight.standard_error
    hazard = model.effect("treated", "relapse", 1, 0, measure="hazard-ratio")
    assert 0.5 * HAZARD_RATIO < hazard.estimate < 1.6 * HAZARD_RATIO
    visits = model.effect("treated", "visits", 1, 0)
    assert 0.7 < visits.estimate < 1.4


def test_rows_of_a_mixed_study_hold_values_rules_and_hidden_values(model: Model) -> None:
    rows = model.sample(5000, seed=3)
    bmi = rows["weight"] / (rows["height"] / 100) ** 2
    assert ((rows["bmi"] - bmi.clip(10, 45)).abs() < 1e-6).all()
    assert (rows["lab"].isna() == (rows["lab_missing"] == 1)).all()
    assert set(rows["relapse_event"]) == {0, 1}


def test_a_mixed_release_holds_two_data_sets(mixed: Path) -> None:
    assert sorted(path.name for path in mixed.glob("synthetic*.parquet")) == [
        "synthetic-001.parquet",
        "synthetic-002.parquet",
    ]


def test_a_study_over_visits_finds_the_effect_of_always_treating(longitudinal: Path) -> None:
    model = concause.load(longitudinal)
    effect = model.effect("treated", "marker[3]", 1, 0)
    assert abs(effect.estimate - always_against_never()) < 6 * effect.standard_error
    assert effect.standard_error < 0.1


def test_rows_of_a_study_over_visits_come_by_visit(longitudinal: Path) -> None:
    rows = concause.load(longitudinal).sample_long(100, seed=1)
    assert list(rows["visit"].value_counts()) == [100] * 4
    answers = json.loads((longitudinal / "privacy.json").read_text())
    assert answers
