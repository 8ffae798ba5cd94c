"""Sites with Parquet, PostgreSQL and Spark make the release that three sites with Parquet make."""

import os
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tomlkit

from client.gate.opening import open_source
from client.gate.site_config import read_site_config
from client.measure.statistics import measure
from client.source.file_records import FileRecords
from deploy.demo.__main__ import THREE
from deploy.demo.consortium import Consortium, approve, make_consortium
from deploy.demo.nhefs import NHEFS
from deploy.demo.processes import Child, SiteChild, running_consortium
from protocol.errors import ExitCode
from protocol.privacy.plan import StatisticsPlan, compile_plan
from protocol.secagg.ring import Integers
from protocol.secagg.roster import parse_roster
from protocol.study.document import parse_study
from protocol.study.study import Study
from server.release.basis import establish
from server.rounds.coordinator_config import load_coordinator_config
from server.rounds.papers import Papers
from tests.e2e.commands import concause_command
from tests.support.databases import shared_postgres
from tests.support.seeded_site import seeded_noise

pytestmark = pytest.mark.e2e
SEEDS = {"north": 1, "south": 2, "west": 3}


def seeded(site: SiteChild) -> Child:
    argv = [sys.executable, "-m", "tests.support.seeded_site", str(site.config)]
    return Child(site.name, [*argv, str(SEEDS[site.name])], os.environ, site.port)


def set_data(site: SiteChild, **settings: str | None) -> None:
    document = tomlkit.parse(site.config.read_text())
    data = document["data"]
    assert isinstance(data, tomlkit.items.Table)
    data.pop("path")
    data.update(settings)
    site.config.write_text(tomlkit.dumps(document))


def move_to_databases(consortium: Consortium) -> None:
    """Put the records of one site into PostgreSQL, and have Spark read those of another."""
    _, south, west = consortium.sites
    records = south.config.parent / "records" / "persons.parquet"
    shared_postgres().write(pq.read_table(records), "persons")
    records.unlink()
    connection = south.config.parent / "keys" / "database.uri"
    connection.write_text(shared_postgres().reader)
    connection.chmod(0o600)
    set_data(south, database="postgres", connection="keys/database.uri", table="public.persons")
    set_data(west, database="spark", path="records/persons.parquet")


def sum_over_parquet(consortium: Consortium, study: Study, plan: StatisticsPlan) -> Integers:
    """Return what the sites' files add up to, with the noise of their seeds."""
    total: Integers = np.zeros(plan.length, np.int64)
    for site in consortium.sites:
        with open_source(read_site_config(site.config))(study) as source:
            assert isinstance(source._records._held, FileRecords)
            total += seeded_noise(SEEDS[site.name])(plan, measure(plan, study, source))
    return total


def released(consortium: Consortium, release: Path) -> None:
    config = load_coordinator_config(consortium.coordinator)
    logs = consortium.folder / "logs"
    with running_consortium(config, consortium.sites, logs, start=seeded):
        for site in consortium.sites:
            approve(site, consortium.study)
        argv = ("round", "start", consortium.study, "--config", consortium.coordinator, "--json")
        done = concause_command(*argv, "--release", release)
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    roster = consortium.coordinator.parent / "roster.json"
    verified = concause_command("release", "verify", release, "--roster", roster)
    assert verified.returncode == ExitCode.OK, verified.stdout


def test_three_kinds_of_sites_make_the_release_of_three_of_one_kind(tmp_path: Path) -> None:
    """The sums are equal to the last unit; all of a release follows from them (SPEC 10)."""
    consortium = make_consortium(tmp_path, 3, THREE, NHEFS)
    study = parse_study(consortium.study.read_text(encoding="utf-8"))
    plan = compile_plan(study)
    expected = sum_over_parquet(consortium, study, plan)
    move_to_databases(consortium)
    settings = consortium.coordinator.read_text()
    assert "step_timeout_s = 20" in settings
    consortium.coordinator.write_text(
        settings.replace("step_timeout_s = 20", "step_timeout_s = 90")
    )
    release = tmp_path / "release"
    released(consortium, release)
    roster = parse_roster((release / "roster.json").read_bytes())
    text = (release / "study.toml").read_text(encoding="utf-8")
    basis = establish(Papers(text, (release / "transcript.bin").read_bytes(), roster))
    assert len(basis.cohort) == 3
    assert basis.noisy.values.tolist() == expected.tolist()
