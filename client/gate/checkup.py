"""Is this site ready: settings, keys, policy, people, records, memory, and the way out."""

import shutil
import stat
from collections.abc import Iterator
from contextlib import closing
from functools import partial

from client.gate.keys import load_key, load_secret
from client.gate.memory import open_memory
from client.gate.people import APPROVING
from client.gate.policy import check_people, check_roster, read_policy
from client.gate.private import check_private
from client.gate.probe import probe
from client.gate.site_config import SiteConfig, read_roster
from client.source.opening import open_origin
from client.source.site_table import data_files
from protocol.checkup import Finding, Health, certificate_findings, flower_finding, good, looked
from protocol.errors import UsageError
from protocol.signing import public_key

LEAST_FREE_BYTES = 2**30
_NO_ROUND = "The site takes part in no round."
_NO_APPROVAL = "No study can be approved."


def site_findings(site: SiteConfig, *, now: int) -> list[Finding]:
    """Return what every check found, the network last; `now` in seconds since 1970."""
    found = [flower_finding()]
    for check, look, consequence in (
        ("keys", _keys, "The gate does not start."),
        ("folders", _folders, "The gate does not start."),
        ("roster", _roster, _NO_ROUND),
        ("policy", _policy, _NO_ROUND),
        ("people", _people, _NO_APPROVAL),
        ("records", _records, "No measurement runs."),
        ("memory", _memory, "The gate does not start."),
    ):
        found += looked(check, partial(look, site, now), consequence)
    flower = site.flower
    if flower.root_certificates is not None and flower.root_certificates.exists():
        pem = flower.root_certificates.read_bytes()
        found += certificate_findings("authority", pem, now=now)
    roots, insecure = flower.root_certificates, flower.insecure
    return found + probe(flower.superlink, roots, insecure=insecure, now=now)


def _keys(site: SiteConfig, _: int) -> Iterator[Finding]:
    key = public_key(load_key(site.site.signing_key))
    load_secret(site.site.bound_key)
    load_secret(site.flower.executor_secret)
    yield good("keys", f"readable by this user alone; public key {key.hex()[:16]}...")


def _folders(site: SiteConfig, _: int) -> Iterator[Finding]:
    if site.site.folder.exists():
        check_private(site.site.folder)
    free = shutil.disk_usage(site.site.policy.parent).free
    if free < LEAST_FREE_BYTES:
        yield Finding(
            "folders",
            Health.WARNING,
            f"{free / 2**20:.0f} MiB are free",
            "A full disk loses rounds, and with them at most their budget.",
            "Free some space; the engine may need a few GiB to set rows aside.",
        )
    else:
        yield good("folders", f"{free / 2**30:.0f} GiB free")
    mode = site.site.policy.stat().st_mode if site.site.policy.exists() else 0
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield Finding(
            "folders",
            Health.ERROR,
            f"others may write to {site.site.policy.name}",
            "Whoever does decides what this site allows.",
            f"Run chmod go-w {site.site.policy}.",
        )


def _roster(site: SiteConfig, _: int) -> Iterator[Finding]:
    roster = read_roster(site.site.roster)
    policy = read_policy(site.site.policy)
    check_roster(policy, roster)
    check_people(policy, roster)
    own = public_key(load_key(site.site.signing_key))
    if own not in [member.key for member in roster.sites if member.name == site.site.name]:
        raise UsageError(
            "not-in-roster",
            f"The roster of {roster.name} does not have {site.site.name} with this site's key.",
            "Send a `concause site request`, and install the welcome.",
        )
    yield good("roster", f"{roster.name}: {len(roster.sites)} sites, this one among them")


def _policy(site: SiteConfig, _: int) -> Iterator[Finding]:
    policy = read_policy(site.site.policy)
    lifetime = float(policy.caps.lifetime)
    unset = [
        name
        for name, value in (
            ("aggregation", policy.aggregation),
            ("cohort.n_min", policy.cohort.n_min),
            ("cohort.noise_shares", policy.cohort.noise_shares),
        )
        if not value
    ]
    if unset:
        raise UsageError(
            "policy-unset", f"The policy does not set {', '.join(unset)}.", "Unset means no."
        )
    yield good("policy", f"a lifetime's rho of {lifetime:.4g}")


def _people(site: SiteConfig, _: int) -> Iterator[Finding]:
    people = read_policy(site.site.policy).people
    missing = [role.words for role in APPROVING if role not in {each.role for each in people}]
    if missing:
        raise UsageError(
            "people-missing",
            f"The policy names no {' and no '.join(missing)}.",
            "Add them with `concause site person`.",
        )
    yield good("people", ", ".join(f"{each.name} ({each.role.words})" for each in people))


def _records(site: SiteConfig, _: int) -> Iterator[Finding]:
    if site.data.database is None:
        from client.source.trial import open_on_trial  # noqa: PLC0415 - the engine is slow to load

        files = data_files(site.data)
        open_on_trial(site.data, site.mapping, files, site.site.folder)
        yield good("records", f"{len(files)} file{'s' if len(files) > 1 else ''}")
        return
    with closing(open_origin(site.data)) as origin:
        yield good("records", f"{site.data.database}: {len(origin.queries.schema)} columns to read")


def _memory(site: SiteConfig, now: int) -> Iterator[Finding]:
    if not site.site.folder.exists():
        yield good("memory", "empty: the gate has not run yet")
        return
    with closing(open_memory(site.site.folder, site.site.audit)) as memory:
        memory.check_whole()
        memory.check_clock(now=now)
        if memory.standing.paused:
            yield Finding(
                "memory",
                Health.WARNING,
                "the site is paused",
                _NO_ROUND,
                "Its administrator ends the pause: `concause site resume`.",
            )
        yield good("memory", "the audit log is whole")
