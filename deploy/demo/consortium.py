"""Makes the demonstration's consortium, as its people would: by the `concause` commands."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import tomlkit

from concause.cli import run
from deploy.demo.certificates import make_certificates
from deploy.demo.processes import LOOPBACK, AggregatorChild, SiteChild, free_ports
from protocol.errors import ExitCode, StorageError
from server.membership.authority import Authority

NAMES = ("north", "south", "west", "east", "lake")
SIGNERS = {"steward": "Ada", "privacy-officer": "Ben"}  # who approves at each site, by role
OPERATORS = ("university", "registry", "court")
RECORDS = "records/persons.parquet"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A study, the records that sites hold, and how they read them."""

    study: Path
    deal: Callable[[int], Sequence[pd.DataFrame]]  # records by site
    unit_column: str
    mapping: Mapping[str, Mapping[str, object]]  # a site's [mapping]: the study's names and levels
    budget: Mapping[str, float]  # of every site's policy, for one round and for life
    data: Mapping[str, object] = field(default_factory=dict)  # further settings of [data]


@dataclass(frozen=True, slots=True)
class Consortium:
    """Where everything of a demonstration is."""

    folder: Path
    study: Path
    coordinator: Path
    sites: tuple[SiteChild, ...]
    aggregators: tuple[AggregatorChild, ...] = ()


def make_consortium(
    folder: Path, sites: int, cohort: Mapping[str, int], scenario: Scenario, *, aggregators: int = 0
) -> Consortium:
    """Return a consortium in a new folder: keys, certificates, records, roster, policies.

    With aggregators, its study is for them.
    """
    names, operators = NAMES[:sites], OPERATORS[:aggregators]
    superlink, relay, meeting, *ports = free_ports(sites + 3)
    address = f"{LOOPBACK}:{superlink}"
    coordinator = folder / "coordinator"
    command("coordinator", "init", "demo", "--folder", coordinator, "--superlink", address)
    _shorten_waits(coordinator / "coordinator.toml")
    certificates = make_certificates(
        coordinator / "tls", ("superlink", "relay", *operators), now=datetime.now(UTC)
    )
    aggregation = "aggregators" if operators else "masking"
    study = _write_study(folder / "study.toml", scenario.study, cohort, aggregation)
    records = dict(zip(names, scenario.deal(sites), strict=True))
    for name, port in zip(names, ports, strict=True):
        home = folder / "sites" / name
        made = command(
            *("site", "init", name, "--folder", home, "--superlink", address),
            *("--runtime-port", port, "--data", RECORDS, "--unit-column", scenario.unit_column),
        )
        _write_private(records[name], home / RECORDS)
        (home / "root.pem").write_bytes(certificates.root.read_bytes())
        _name_people(name, home)
        config = coordinator / "coordinator.toml"
        enrolled = command("coordinator", "enrol", name, made["public_key"], "--config", config)
    for name in operators:
        enrolled = _make_operator(folder, name, certificates, relay, meeting)
    for name in (*names, *operators):
        home = folder / ("sites" if name in names else "aggregators") / name
        (home / "roster.json").write_bytes((coordinator / "roster.json").read_bytes())
    if operators:
        _add_relay(coordinator / "coordinator.toml", relay)
    for name in names:
        home = folder / "sites" / name
        _map_columns(home / "site.toml", scenario)
        roster_hash = enrolled["roster_hash"]
        _set_policy(home / "policy.toml", roster_hash, aggregation, cohort, scenario.budget)
    children = tuple(
        SiteChild(name, folder / "sites" / name / "site.toml", port)
        for name, port in zip(names, ports, strict=True)
    )
    adders = tuple(
        AggregatorChild(name, folder / "aggregators" / name / "aggregator.toml")
        for name in operators
    )
    return Consortium(folder, study, coordinator / "coordinator.toml", children, adders)


def approve(site: SiteChild, study: Path, *options: object) -> None:
    """Have both people of a site sign a study, as each would with a key of their own.

    Raises:
        StorageError: the site does not take it; holds what it said.
    """
    for role in SIGNERS:
        key = site.config.parent / "keys" / f"{role}.key"
        command(
            *("site", "approve", study, "--config", site.config, "--key", key, "--yes"), *options
        )


def _name_people(name: str, home: Path) -> None:
    for role, who in SIGNERS.items():
        command(
            *("site", "person", f"{who} of {name}", "--role", role),
            *("--key", home / "keys" / f"{role}.key", "--config", home / "site.toml"),
        )


def _make_operator(
    folder: Path, name: str, certificates: Authority, relay: int, meeting: int
) -> dict[str, Any]:
    """Make an aggregator and enrol it; return what the coordinator said."""
    home = folder / "aggregators" / name
    made = command(
        *("aggregator", "init", name, "--folder", home, "--interface", "lo"),
        *("--relay", f"{LOOPBACK}:{relay}", "--meeting", f"{LOOPBACK}:{meeting}"),
    )
    tls = home / "tls"
    tls.mkdir()
    for given, kept in zip(
        (certificates.root, *certificates.of(name)),
        ("root.pem", "aggregator.pem", "aggregator.key"),
        strict=True,
    ):
        (tls / kept).write_bytes(given.read_bytes())
    return command(
        *("coordinator", "enrol-aggregator", name, made["public_key"], made["sealing_key"]),
        *("--config", folder / "coordinator" / "coordinator.toml"),
    )


def _add_relay(path: Path, port: int) -> None:
    settings = tomlkit.parse(path.read_text(encoding="utf-8"))
    settings["relay"] = {
        "listen": f"{LOOPBACK}:{port}",
        "root_certificates": "tls/root.pem",
        "certificate": "tls/relay.pem",
        "certificate_key": "tls/relay.key",
    }
    path.write_text(tomlkit.dumps(settings), encoding="utf-8")


def command(*arguments: object) -> dict[str, Any]:
    """Return the JSON that a `concause` command prints.

    Raises:
        StorageError: it failed; holds what it said.
    """
    code, printed, complained = run_here([*map(str, arguments), "--json"])
    if code != ExitCode.OK:
        raise StorageError(
            "command-failed",
            f"Expected `concause {' '.join(map(str, arguments))}` to succeed, found exit code "
            f"{code}: {complained.strip() or printed.strip()}",
            "Run it by hand to see more.",
        )
    document: dict[str, Any] = json.loads(printed)
    return document


def run_here(arguments: list[str]) -> tuple[int, str, str]:
    """Run a `concause` command within this process, which is faster; return code and output."""
    printed, complained = io.StringIO(), io.StringIO()
    with redirect_stdout(printed), redirect_stderr(complained):
        code = run(arguments)
    return code, printed.getvalue(), complained.getvalue()


def _write_study(path: Path, study: Path, cohort: Mapping[str, int], aggregation: str) -> Path:
    document = tomlkit.parse(study.read_text(encoding="utf-8"))
    document["cohort"].update(cohort)
    document["trust"]["aggregation"] = aggregation
    path.write_text(tomlkit.dumps(document), encoding="utf-8")
    return path


def _map_columns(path: Path, scenario: Scenario) -> None:
    """Write the site's mapping to the study's levels, and whom its SuperNode trusts."""
    settings = tomlkit.parse(path.read_text(encoding="utf-8"))
    settings["mapping"] = dict(scenario.mapping)
    settings["data"].update(scenario.data)
    settings["flower"]["root_certificates"] = "root.pem"
    path.write_text(tomlkit.dumps(settings), encoding="utf-8")


def _set_policy(
    path: Path,
    roster_hash: str,
    aggregation: str,
    cohort: Mapping[str, int],
    budget: Mapping[str, float],
) -> None:
    """Write what the site's people agreed to: this roster, these cohorts, one round's budget."""
    policy = tomlkit.parse(path.read_text(encoding="utf-8"))
    policy["roster"] = roster_hash
    policy["aggregation"] = [aggregation]
    policy["cohort"] = {
        "n_min": cohort["n_min"],
        "noise_shares": cohort["n_min"] - cohort["tolerated_colluders"],
    }
    policy["budget"] = {"lifetime": dict(budget), "study": dict(budget)}
    path.write_text(tomlkit.dumps(policy), encoding="utf-8")


def _shorten_waits(path: Path) -> None:
    """Set waits that suit one machine: a killed site is given up after 20 seconds."""
    settings = tomlkit.parse(path.read_text(encoding="utf-8"))
    settings["round"] = {"step_timeout_s": 20, "start_timeout_s": 60, "deadline_s": 900}
    path.write_text(tomlkit.dumps(settings), encoding="utf-8")


def _write_private(records: pd.DataFrame, path: Path) -> None:
    """Write a Parquet file that only its owner may read, in a folder closed to others."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    records.to_parquet(path, index=False)
    path.chmod(0o600)
