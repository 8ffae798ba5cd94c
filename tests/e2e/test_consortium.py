"""Real processes on loopback: rounds that end in a release, a killed site, a spent budget."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import concause
from deploy.demo.__main__ import THREE
from deploy.demo.consortium import Consortium, approve, make_consortium
from deploy.demo.nhefs import NHEFS
from deploy.demo.processes import running_consortium
from protocol.errors import ExitCode
from server.rounds.coordinator_config import load_coordinator_config
from tests.e2e.commands import concause_command

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.e2e


@dataclass(frozen=True, slots=True)
class Played:
    """Two rounds of one consortium: the first spends the budget, the second may not."""

    consortium: Consortium
    release: Path
    first: "subprocess.CompletedProcess[str]"
    second: "subprocess.CompletedProcess[str]"


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("consortium")
    consortium = make_consortium(folder, 3, THREE, NHEFS)
    config = load_coordinator_config(consortium.coordinator)
    release = folder / "release"
    start = ("round", "start", consortium.study, "--config", consortium.coordinator, "--json")
    with running_consortium(config, consortium.sites, folder / "logs"):
        for site in consortium.sites:
            approve(site, consortium.study, "--rho-cap", "0.5")
        first = concause_command(*start, "--release", release)
        second = concause_command(*start, "--release", folder / "second")
    return Played(consortium, release, first, second)


def test_a_round_over_real_processes_ends_in_a_release_that_verifies(played: Played) -> None:
    assert played.first.returncode == ExitCode.OK, played.first.stderr
    summary = json.loads(played.first.stdout)
    assert summary["cohort"]["dropped"] == []
    roster = played.consortium.coordinator.parent / "roster.json"
    verified = concause_command("release", "verify", played.release, "--roster", roster, "--json")
    assert verified.returncode == ExitCode.OK, verified.stdout


def test_a_researcher_opens_the_release_in_python(played: Played) -> None:
    model = concause.load(played.release)
    rows = model.sample(1000, seed=1)
    assert list(rows.columns) == list(model.graph.nodes)
    assert (model.do({"qsmk": 1}).sample(1000, seed=1)["qsmk"] == 1).all()
    effect = model.effect(treatment="qsmk", outcome="wt82_71")
    assert effect.low < effect.estimate < effect.high


def test_a_second_round_over_the_budget_is_refused_by_every_gate(played: Played) -> None:
    assert played.second.returncode == ExitCode.COHORT
    assert not (played.consortium.folder / "second").exists()
    status = json.loads(played.second.stdout)
    refusals = [stranger["refusal"]["category"] for stranger in status["strangers"]]
    assert refusals == ["budget"] * 3


def test_every_ledger_shows_one_charge_and_the_refusal(played: Played) -> None:
    for site in played.consortium.sites:
        done = concause_command("site", "ledger", "--config", site.config, "--json")
        kinds = [entry["kind"] for entry in json.loads(done.stdout)["entries"]]
        assert kinds.count("charge") == 1
        assert kinds[-1] == "refusal"


def test_the_demo_delivers_when_one_of_five_sites_is_killed_after_sharing_its_keys(
    tmp_path: Path,
) -> None:
    argv = [sys.executable, "-m", "deploy.demo", "--run", str(tmp_path / "demo"), "--drop"]
    dead_proxy = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run(
        argv, cwd=ROOT, env=os.environ | dead_proxy, capture_output=True, text=True, check=False
    )
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    assert "kill -9: lake is gone" in done.stdout
    privacy = json.loads((tmp_path / "demo" / "release" / "privacy.json").read_text())
    assert privacy["cohort"]["dropped"] == ["lake"]
