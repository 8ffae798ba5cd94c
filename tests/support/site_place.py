"""A site that was set up by hand, by commands, with real records and real people.

`place` and `gate` are fixtures: a test module imports them by name.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tomlkit
from click.testing import Result
from typer.testing import CliRunner

from client.__main__ import app
from client.gate.gate import Gate
from client.gate.keys import load_key
from client.gate.opening import open_gate
from client.gate.site_config import SiteConfig, read_roster, read_site_config
from protocol.privacy.plan import compile_plan
from protocol.secagg.descriptor import Descriptor, sign_descriptor
from protocol.secagg.messages import Invitation, encode_message
from protocol.secagg.roster import Roster, RosterSite
from protocol.signing import public_key
from protocol.study.document import parse_study
from tests.support.site_world import STUDY, key

RECORDS = {"a": [0, 1, 1, 0, 1], "b": [1, 1, 0, 0, 1], "person": [1, 2, 3, 4, 5]}


PEOPLE = {
    "steward": "Ada",
    "privacy-officer": "Ben",
    "administrator": "Cleo",
    "auditor": "Dan",
}


APPROVING = ("steward", "privacy-officer")


COST = compile_plan(parse_study(STUDY)).rho


@dataclass(frozen=True)
class Place:
    """A site that was set up by hand, as its administrator would."""

    folder: Path

    @property
    def settings(self) -> Path:
        return self.folder / "site.toml"

    @property
    def study(self) -> Path:
        return self.folder / "study.toml"

    @property
    def config(self) -> SiteConfig:
        return read_site_config(self.settings)

    def run(self, *arguments: str, stdin: str = "") -> Result:
        """Run a command on this site; what it raises is raised."""
        argv = [*arguments, "--config", str(self.settings)]
        return CliRunner().invoke(app, argv, input=stdin, catch_exceptions=False)

    def document(self, *arguments: str) -> dict[str, Any]:
        """Return the JSON that a command prints."""
        document: dict[str, Any] = json.loads(self.run(*arguments, "--json").stdout)
        return document

    def key(self, role: str) -> str:
        """Return where the key of someone with this role is."""
        return str(self.folder / "keys" / f"{role}.key")

    def approve(self, *options: str, by: Sequence[str] = APPROVING) -> list[Result]:
        """Sign the study, one person after another."""
        study = str(self.study)
        return [
            self.run("approve", study, "--yes", "--key", self.key(role), *options) for role in by
        ]

    def edit(self, name: str, **settings: Any) -> None:
        """Change top-level settings of one of the site's files."""
        path = self.folder / name
        document = tomlkit.parse(path.read_text())
        document.update(settings)
        path.write_text(tomlkit.dumps(document))


def set_up(folder: Path, *options: str) -> Result:
    argv = ["init", "north", "--folder", str(folder), "--insecure", *options]
    return CliRunner().invoke(app, argv, catch_exceptions=False)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a site with records, roster, study, and a policy that allows it."""
    folder = tmp_path / "north"
    made = json.loads(set_up(folder, "--unit-column", "person", "--json").stdout)
    pq.write_table(pa.table(RECORDS), folder / "records.parquet")
    members = [RosterSite("north", public_key(load_key(folder / "keys" / "site.key")))]
    members += [RosterSite(name, public_key(key(name))) for name in ("east", "west")]
    roster = Roster("testers", public_key(key("coordinator")), tuple(members))
    assert made["public_key"] == roster.sites[0].key.hex()
    (folder / "roster.json").write_bytes(roster.canonical)
    (folder / "study.toml").write_text(STUDY)
    place = Place(folder)
    for role, name in PEOPLE.items():
        place.run("person", name, "--role", role, "--key", place.key(role))
    place.edit(
        "policy.toml",
        roster=roster.hash.hex(),
        aggregation=["masking"],
        cohort={"n_min": 3, "noise_shares": 3},
        budget={"lifetime": {"rho": 0.1}, "study": {"rho": 0.1}},
    )
    return place


@pytest.fixture
def gate(place: Place) -> Iterator[Gate]:
    with closing(open_gate(place.config, now=int(time()))) as gate:
        yield gate


def invitation(place: Place) -> bytes:
    study = parse_study(STUDY)
    plan = compile_plan(study)
    descriptor = Descriptor(
        counter=1,
        roster_hash=read_roster(place.config.site.roster).hash,
        study_hash=study.hash,
        plan_hash=plan.hash,
        length=plan.length,
        narrow=plan.layout.narrow,
        threshold=study.cohort.threshold,
        n_min=study.cohort.n_min,
        colluders=study.cohort.tolerated_colluders,
        deadline=int(time()) + 600,
    )
    return encode_message(Invitation(sign_descriptor(descriptor, key("coordinator"))))
