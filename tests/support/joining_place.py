"""A coordinator and two sites, none of which has joined, driven by the commands of both sides.

`place` is a fixture: a test module imports it by name.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from client.__main__ import app as site_app
from client.gate.site_config import read_roster, read_site_config
from server.commands.coordinator import app as coordinator_app

NAMES = ("north", "south")


def run(app: Any, *arguments: object) -> dict[str, Any]:
    """Return the JSON that a command prints; what it raises is raised."""
    argv = [*map(str, arguments), "--json"]
    done = CliRunner().invoke(app, argv, catch_exceptions=False)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@dataclass(frozen=True)
class Place:
    """A coordinator and two sites, none of which has joined."""

    folder: Path

    def site(self, name: str, verb: str, *arguments: object) -> dict[str, Any]:
        return run(site_app, verb, *arguments, "--config", self.home(name) / "site.toml")

    def coordinator(self, verb: str, *arguments: object) -> dict[str, Any]:
        config = self.folder / "coordinator" / "coordinator.toml"
        return run(coordinator_app, verb, *arguments, "--config", config)

    def home(self, name: str) -> Path:
        return self.folder / name

    def request(self, name: str) -> Path:
        path = self.folder / f"{name}.request"
        self.site(name, "request", "--out", path, "--contact", "it@example.org")
        return path

    def approve(self, name: str, *options: object) -> tuple[Path, str]:
        """Have a site ask and be approved; return its welcome and the fingerprint."""
        path = self.folder / f"{name}.welcome"
        done = self.coordinator("approve", self.request(name), "--yes", "--out", path, *options)
        return path, done["fingerprint"]

    def join(self, name: str) -> None:
        path, read_out = self.approve(name)
        self.site(name, "install", path, "--fingerprint", read_out)

    def roster(self, name: str) -> list[str]:
        config = read_site_config(self.home(name) / "site.toml")
        return [member.name for member in read_roster(config.site.roster).sites]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    run(coordinator_app, "init", "testers", "--folder", tmp_path / "coordinator")
    place = Place(tmp_path)
    place.coordinator("authority", "--host", "coordinator.example.org")
    for name in NAMES:
        run(site_app, "init", name, "--folder", place.home(name), "--unit-column", "person")
    return place
