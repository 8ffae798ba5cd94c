"""Sites with Parquet, PostgreSQL and Spark make the release that three sites with Parquet make."""

import os
import shutil
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
import tomlkit

from client.app import client_app
from client.gate.opening import open_gate
from client.gate.site_config import read_site_config
from deploy.demo.__main__ import THREE
from deploy.demo.consortium import Consortium, approve, make_consortium
from deploy.demo.nhefs import NHEFS
from deploy.demo.processes import Child, SiteChild, running_consortium
from protocol.errors import ExitCode
from server.release.folder import ReleaseFile
from server.release.manifest import Manifest, decode_manifest
from server.release.write import write_release
from server.rounds.clock import SystemClock, Timings
from server.rounds.coordinator_config import load_coordinator_config
from server.rounds.driver import drive
from server.rounds.folder import RoundFolder, create_round_folder
from server.rounds.signing_key import load_signing_key
from server.rounds.transport import FlowerTransport
from tests.e2e.commands import concause_command
from tests.support.databases import shared_postgres
from tests.support.flower_grid import InProcessGrid
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


def twin_of(consortium: Consortium, folder: Path) -> Consortium:
    """Return a copy of a consortium that has not begun: same keys, roster, records, policies."""
    shutil.copytree(consortium.folder, folder)

    def moved(path: Path) -> Path:
        return folder / path.relative_to(consortium.folder)

    sites = tuple(replace(site, config=moved(site.config)) for site in consortium.sites)
    return Consortium(folder, moved(consortium.study), moved(consortium.coordinator), sites)


def play_again(twin: Consortium, release: Path, target: Path) -> None:
    """Play the round of a release among other sites, in this process, and write its release."""
    coordinator = load_coordinator_config(twin.coordinator)
    [held] = (release.parent / "coordinator" / "rounds").glob("*/")
    header = RoundFolder(held).read_header()
    folder = create_round_folder(coordinator.rounds / "again", header, twin.study.read_text())
    with ExitStack() as gates:
        apps = {}
        for node, site in enumerate(twin.sites, start=1):
            approve(site, twin.study)
            with patch("client.gate.opening.add_noise", seeded_noise(SEEDS[site.name])):
                gate = open_gate(read_site_config(site.config), now=int(time.time()))
            apps[node] = client_app(gates.enter_context(closing(gate)))
        drive(folder, FlowerTransport(InProcessGrid(apps)), SystemClock(), Timings())
    write_release(
        target,
        folder.read_papers(),
        signing_key=load_signing_key(coordinator.coordinator.signing_key),
        now=datetime.fromisoformat(manifest_of(release).created).astimezone(UTC),
    )


def manifest_of(release: Path) -> Manifest:
    return decode_manifest((release / ReleaseFile.MANIFEST).read_bytes()).manifest


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
    """Byte for byte, but for the transcript, whose keys are fresh, and its digest in the report."""
    consortium = make_consortium(tmp_path / "kinds", 3, THREE, NHEFS)
    twin = twin_of(consortium, tmp_path / "twin")
    move_to_databases(consortium)
    settings = consortium.coordinator.read_text()
    assert "step_timeout_s = 20" in settings
    consortium.coordinator.write_text(
        settings.replace("step_timeout_s = 20", "step_timeout_s = 90")
    )
    release, again = consortium.folder / "release", twin.folder / "release"
    released(consortium, release)
    play_again(twin, release, again)
    one, other = manifest_of(release), manifest_of(again)
    assert one.session == other.session
    assert one.files.keys() == other.files.keys()
    differing = {name for name in one.files if one.files[name] != other.files[name]}
    assert differing == {ReleaseFile.TRANSCRIPT, ReleaseFile.REPORT}
    fresh, old = (each.files[ReleaseFile.TRANSCRIPT].sha256 for each in (other, one))
    report = (release / ReleaseFile.REPORT).read_text()
    assert report.replace(old, fresh) == (again / ReleaseFile.REPORT).read_text()
