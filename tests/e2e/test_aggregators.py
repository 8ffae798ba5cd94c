"""The same study over real processes by masks and by aggregators: the same noise, both verify."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from client.gate.opening import open_source
from client.gate.site_config import read_site_config
from client.measure.statistics import measure
from deploy.demo.__main__ import THREE
from deploy.demo.consortium import Consortium, approve, make_consortium
from deploy.demo.nhefs import NHEFS
from deploy.demo.processes import aggregation_children, running_consortium
from protocol.errors import ExitCode
from protocol.privacy.plan import compile_plan
from protocol.secagg.roster import parse_roster
from protocol.study.document import parse_study
from server.release.basis import Basis, establish
from server.rounds.coordinator_config import load_coordinator_config
from server.rounds.papers import Papers
from tests.e2e.commands import concause_command

pytestmark = pytest.mark.e2e
ALPHA = 1e-6  # the noise is the operating system's: each test fails of itself as often


@dataclass(frozen=True, slots=True)
class Played:
    """One round of a consortium: its release, and the noise in its sum in deviations."""

    consortium: Consortium
    release: Path
    printed: str
    basis: Basis
    noise: NDArray[np.float64]  # shape (plan.length,)


def play(folder: Path, aggregators: int) -> Played:
    consortium = make_consortium(folder, 3, THREE, NHEFS, aggregators=aggregators)
    config = load_coordinator_config(consortium.coordinator)
    release = folder / "release"
    adders = aggregation_children(consortium.coordinator, config, consortium.aggregators)
    with running_consortium(config, consortium.sites, folder / "logs", aggregation=adders):
        for site in consortium.sites:
            approve(site, consortium.study)
        start = ("round", "start", consortium.study, "--config", consortium.coordinator, "--json")
        done = concause_command(*start, "--release", release)
        assert done.returncode == ExitCode.OK, done.stderr
    basis = basis_of(release)
    return Played(consortium, release, done.stdout, basis, noise_of(consortium, basis))


def basis_of(release: Path) -> Basis:
    roster = parse_roster((release / "roster.json").read_bytes())
    study = (release / "study.toml").read_text(encoding="utf-8")
    return establish(Papers(study, (release / "transcript.bin").read_bytes(), roster))


def noise_of(consortium: Consortium, basis: Basis) -> NDArray[np.float64]:
    """Return the noise: the sum less what the sites' records really add up to."""
    study = parse_study(consortium.study.read_text(encoding="utf-8"))
    plan = compile_plan(study)
    truth = np.zeros(plan.length, np.int64)
    for site in consortium.sites:
        with open_source(read_site_config(site.config))(study) as source:
            truth += measure(plan, study, source)
    deviations = np.zeros(plan.length)
    for block in plan.blocks:
        deviations[block.span] = float(block.variance(len(basis.cohort))) ** 0.5
    noise: NDArray[np.float64] = (basis.noisy.values - truth) / deviations
    return noise


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(tmp_path_factory.mktemp("masked"), 0)


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(tmp_path_factory.mktemp("added"), 2)


def test_both_releases_verify(masked: Played, added: Played) -> None:
    for played in (masked, added):
        roster = played.consortium.coordinator.parent / "roster.json"
        verified = concause_command("release", "verify", played.release, "--roster", roster)
        assert verified.returncode == ExitCode.OK, verified.stdout


def test_the_noise_of_both_has_the_law_of_the_plan(masked: Played, added: Played) -> None:
    """And so the same: discrete Gaussians of such scales differ from Gaussians by far less."""
    for played in (masked, added):
        assert stats.kstest(played.noise, "norm").pvalue > ALPHA
        squared = float((played.noise**2).sum())
        low, high = (stats.chi2.ppf(tail, played.noise.size) for tail in (ALPHA / 2, 1 - ALPHA / 2))
        assert low < squared < high


def test_the_noise_of_one_has_the_distribution_of_the_others(masked: Played, added: Played) -> None:
    assert stats.ks_2samp(masked.noise, added.noise).pvalue > ALPHA
    ratio = masked.noise.var() / added.noise.var()
    least = stats.f.ppf(ALPHA / 2, masked.noise.size - 1, added.noise.size - 1)
    assert least < ratio < 1 / least
    assert abs(np.corrcoef(masked.noise, added.noise)[0, 1]) < 0.2


def test_study_and_plan_differ_in_how_the_sum_is_made_and_in_nothing_else(
    masked: Played, added: Played
) -> None:
    plans = [played.basis.plan for played in (masked, added)]
    assert plans[0].blocks == plans[1].blocks
    assert plans[0].rho == plans[1].rho
    assert {played.basis.study.trust.aggregation for played in (masked, added)} == {
        "masking",
        "aggregators",
    }


def test_the_release_says_in_words_whom_to_trust(masked: Played, added: Played) -> None:
    said = [
        json.loads((played.release / "privacy.json").read_text())["trust"]["model"]
        for played in (masked, added)
    ]
    assert "masks it" in said[0]
    assert "Trust in one of two operators" in said[1]
    assert "university and registry" in said[1]
    assert "Trust in one of two operators" in (added.release / "report.html").read_text()


def test_each_aggregator_wrote_down_that_the_round_is_opened(added: Played) -> None:
    for aggregator in added.consortium.aggregators:
        rounds = aggregator.config.parent / "state" / "rounds"
        session = added.basis.session.hex()
        assert {path.name for path in rounds.iterdir()} == {f"{session}.begun", f"{session}.signed"}
