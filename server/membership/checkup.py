"""Is this coordinator ready: settings, key, roster, certificates, Flower and its disk."""

import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from protocol.checkup import Finding, Health, certificate_findings, flower_finding, good, looked
from protocol.signing import public_key
from server.rounds.coordinator_config import CoordinatorConfig
from server.rounds.issue import read_roster
from server.rounds.signing_key import load_signing_key

LEAST_FREE_BYTES = 2**30
_NO_ROUND = "No round can be issued."


def coordinator_findings(config: CoordinatorConfig, *, now: int) -> list[Finding]:
    """Return what every check found; `now` in seconds since 1970."""
    found = [flower_finding(), _disk(config.coordinator.folder)]
    for check, look in (("key", _key), ("roster", _roster)):
        found += looked(check, partial(look, config), _NO_ROUND)
    flower = config.flower
    files = {"authority": flower.root_certificates, "SuperLink's certificate": flower.certificate}
    if config.relay is not None:
        files["relay's certificate"] = config.relay.certificate
    for check, path in files.items():
        if path is not None:
            found += _certificates(check, path, now)
    for path in (flower.certificate_key, config.coordinator.signing_key):
        if path is not None and path.exists():
            found += _private(path)
    return [*found, _listening(config)]


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    if free >= LEAST_FREE_BYTES:
        return good("disk", f"{free / 2**30:.0f} GiB free")
    return Finding(
        "disk",
        Health.WARNING,
        f"{free / 2**20:.0f} MiB are free",
        "A round that cannot be written down ends.",
        "Free some space.",
    )


def _key(config: CoordinatorConfig) -> Iterator[Finding]:
    key = public_key(load_signing_key(config.coordinator.signing_key))
    yield good("key", f"public key {key.hex()[:16]}...")


def _roster(config: CoordinatorConfig) -> Iterator[Finding]:
    roster = read_roster(config.coordinator.roster)
    own = public_key(load_signing_key(config.coordinator.signing_key))
    if roster.coordinator != own:
        yield Finding(
            "roster",
            Health.ERROR,
            "the roster names another coordinator's key",
            "Every site refuses every round.",
            "Restore the key, or make a new roster that the sites install.",
        )
        return
    yield good("roster", f"{roster.name}: {', '.join(site.name for site in roster.sites)}")


def _certificates(check: str, path: Path, now: int) -> list[Finding]:
    try:
        return certificate_findings(check, path.read_bytes(), now=now)
    except OSError:
        return [
            Finding(
                check,
                Health.ERROR,
                f"{path} cannot be read",
                "The SuperLink does not start.",
                "Make it with `concause coordinator authority`, or put your own there.",
            )
        ]


def _private(path: Path) -> list[Finding]:
    if not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return []
    return [
        Finding(
            "key",
            Health.ERROR,
            f"others may read {path.name}",
            "Whoever does can take the coordinator's place.",
            f"Run chmod 600 {path}, and consider a new key.",
        )
    ]


def _listening(config: CoordinatorConfig) -> Finding:
    host, port = config.flower.host, config.flower.port
    with closing(socket.socket()) as probe:
        probe.settimeout(2.0)
        if probe.connect_ex((host, port)) == 0:
            return good("superlink", f"something listens at {config.flower.superlink}")
    return Finding(
        "superlink",
        Health.WARNING,
        f"nothing listens at {config.flower.superlink}",
        "No site can connect.",
        "Start it with `concause coordinator start`.",
    )
