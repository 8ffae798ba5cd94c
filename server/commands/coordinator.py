"""`concause coordinator`: keys, settings, roster and Flower processes of a coordinator."""

import signal
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from protocol.errors import UsageError
from protocol.secagg.roster import (
    Roster,
    RosterAggregator,
    RosterSite,
    check_name,
    parse_roster,
)
from protocol.signing import parse_public_key, public_key
from server.api.relay import running_relay
from server.commands import doctor, membership
from server.commands.membership import DEFAULT_CONFIG, ConfigPath
from server.commands.output import JsonFlag, console, show, shown
from server.rounds.coordinator_config import (
    CoordinatorConfig,
    load_coordinator_config,
    parse_settings,
)
from server.rounds.folder import replace_file
from server.rounds.issue import read_roster
from server.rounds.serving import serve
from server.rounds.signing_key import create_executor_secret, create_signing_key, load_signing_key

app = typer.Typer(no_args_is_help=True, help="Set up a coordinator and its roster; run Flower.")
for certifying in (membership.authority, membership.certify):
    app.command()(certifying)
app.command()(membership.approve)
app.command()(membership.welcome)
app.command()(membership.remove)
app.command()(doctor.doctor)
WAITING = "first-aggregator"  # enrolled before there was a second


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="The consortium's name: a-z, 0-9, hyphens.")],
    folder: Annotated[Path, typer.Option(help="Where to put everything.")] = Path("coordinator"),
    superlink: Annotated[
        str, typer.Option(help="HOST:PORT where the SuperLink listens; keep it on loopback.")
    ] = "127.0.0.1:8000",
    *,
    insecure: Annotated[bool, typer.Option("--insecure", help="No TLS: on loopback only.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make a coordinator: folder, keys and coordinator.toml. Overwrites nothing."""
    home = folder.absolute()
    settings = home / "coordinator.toml"
    if settings.exists():
        raise UsageError(
            "coordinator-exists",
            f"Expected no coordinator in {home}, found coordinator.toml.",
            "Choose another --folder, or go on with the one that is there.",
        )
    check_name(name)
    text = _settings(name, superlink, insecure=insecure)
    parse_settings(text, settings, CoordinatorConfig, "coordinator")  # before a file is written
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)
    (home / "keys").mkdir(mode=0o700, exist_ok=True)
    key = public_key(create_signing_key(home / "keys" / "coordinator.key")).hex()
    create_executor_secret(home / "keys" / "executor.secret")
    settings.write_text(text, encoding="utf-8")
    lines = (
        f"The coordinator of {name} is made: {shown(settings)}\n"
        f"Its public key: {key}\n"
        f"Next: concause coordinator authority --config {shown(settings)}, unless another signs; "
        "then concause coordinator approve, for each site's request"
    )
    show({"name": name, "config": str(settings), "public_key": key}, lines, as_json=as_json)


@app.command()
def enrol(
    site: Annotated[str, typer.Argument(help="The site's name, or NAME=KEY.")],
    key: Annotated[
        str | None, typer.Argument(help="Its public key, as `concause site init` printed it.")
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Add a site to the roster. Every site then has to pin the new roster anew."""
    settings = load_coordinator_config(config)
    path = settings.coordinator.roster
    name, _, given = site.partition("=")
    enrolled = RosterSite(name, parse_public_key(key or given))
    if path.exists():
        before = parse_roster(path.read_bytes())
        roster = replace(before, sites=(*before.sites, enrolled))
    else:
        own = public_key(load_signing_key(settings.coordinator.signing_key))
        roster = Roster(settings.coordinator.name, own, (enrolled,))
    replace_file(path, roster.canonical)
    table = Table("site", "key", title=f"Roster of {roster.name}: {path}")
    for member in roster.sites:
        table.add_row(member.name, member.key.hex())
    table.caption = f"hash: {roster.hash.hex()}"
    names = [member.name for member in roster.sites]
    document = {"roster": str(path), "roster_hash": roster.hash.hex(), "sites": names}
    show(document, table, as_json=as_json)


@app.command()
def enrol_aggregator(
    name: Annotated[str, typer.Argument(help="The operator's name.")],
    key: Annotated[str, typer.Argument(help="Its public key, from `concause aggregator init`.")],
    sealing_key: Annotated[str, typer.Argument(help="Its public key for seals, from there too.")],
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Add an aggregator to the roster, with sites in it already. Two or three are needed."""
    settings = load_coordinator_config(config)
    path, waiting = settings.coordinator.roster, settings.coordinator.folder / WAITING
    roster = read_roster(path)
    enrolled = RosterAggregator(name, parse_public_key(key), parse_public_key(sealing_key))
    known = (*roster.aggregators, *_waiting(waiting))
    if not known:  # a roster never names one alone: it waits for the second
        replace_file(waiting, f"{name} {key} {sealing_key}\n".encode())
    else:
        roster = replace(roster, aggregators=(*known, enrolled))
        replace_file(path, roster.canonical)
        waiting.unlink(missing_ok=True)
    names = [one.name for one in (*known, enrolled)]
    document = {"roster": str(path), "roster_hash": roster.hash.hex(), "aggregators": names}
    said = f"{name} waits for a second aggregator; the roster is as it was."
    if known:
        said = f"Aggregators of {roster.name}: {', '.join(names)}. Roster hash: {roster.hash.hex()}"
    show(document, said, as_json=as_json)


def _waiting(path: Path) -> tuple[RosterAggregator, ...]:
    """Return the aggregator that waits for a second, if one does."""
    if not path.exists():
        return ()
    name, key, sealing_key = path.read_text(encoding="utf-8").split()
    return (RosterAggregator(name, parse_public_key(key), parse_public_key(sealing_key)),)


@app.command()
def relay(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Hand sealed shares to aggregators until stopped; `coordinator start` runs it too."""
    settings = load_coordinator_config(config)
    if settings.relay is None:
        raise UsageError(
            "no-relay",
            "Expected a section [relay] in coordinator.toml, found none.",
            "Write listen, root_certificates, certificate and certificate_key there.",
        )
    stop = _until_asked()
    with running_relay(settings.rounds, settings.relay.listen, settings.relay.tls):
        console.print(f"The relay is at work on {settings.relay.listen}")
        stop.wait()


def _until_asked() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


@app.command()
def start(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Run the SuperLink, the executor of rounds and the relay, if any, until stopped."""
    settings = load_coordinator_config(config)
    with ExitStack() as stack:
        if settings.relay is not None:
            relay = settings.relay
            stack.enter_context(running_relay(settings.rounds, relay.listen, relay.tls))
        serve(settings, _until_asked(), lambda logs: console.print(_at_work(settings, logs)))


def _at_work(settings: CoordinatorConfig, logs: Path) -> str:
    return f"SuperLink and executor are at work on {settings.flower.superlink}; logs: {shown(logs)}"


def _settings(name: str, superlink: str, *, insecure: bool) -> str:
    comment = "# " if insecure else ""
    return f"""\
# The coordinator of a consortium. Paths are relative to this file; secrets stand in files of
# their own.

[coordinator]
name = "{name}"
signing_key = "keys/coordinator.key"   # signs rounds and releases; the roster holds its public half
roster = "roster.json"                 # `concause coordinator enrol` writes it
folder = "."                           # rounds, releases, counter and Flower's files

[flower]
superlink = "{superlink}"   # loopback; a proxy shows the sites /v1/fleet/ and nothing else
executor_secret = "keys/executor.secret"
{comment}root_certificates = "tls/root.pem"       # the authority, which the sites trust too
{comment}certificate = "tls/superlink.pem"        # 127.0.0.1 must be among its names
{comment}certificate_key = "tls/superlink.key"
{"" if insecure else "# "}insecure = true

# For studies with aggregation = "aggregators": where they fetch sealed shares.
# [relay]
# listen = "0.0.0.0:9443"
# root_certificates = "tls/root.pem"       # the authority of the aggregators' certificates
# certificate = "tls/relay.pem"
# certificate_key = "tls/relay.key"

[round]
step_timeout_s = 120        # for the slowest site, in each of the five steps
start_timeout_s = 60        # for sites to connect
deadline_s = 3600           # after it no site answers
"""
