"""`concause aggregator`: keys and settings of an operator that adds up shares; its work."""

import signal
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from protocol.errors import UsageError
from protocol.secagg.keys import public_half
from protocol.signing import public_key
from server.aggregator.settings import AggregatorConfig, load_aggregator_config
from server.aggregator.spent import SpentRounds
from server.aggregator.work import Aggregator, find_operator
from server.api.relay_client import RelayClient, relay_client
from server.commands.output import JsonFlag, console, show, shown
from server.rounds.clock import SystemClock
from server.rounds.issue import read_roster
from server.rounds.signing_key import (
    create_sealing_key,
    create_signing_key,
    load_sealing_key,
    load_signing_key,
)

app = typer.Typer(
    no_args_is_help=True,
    help="Add up sealed shares with one or two other operators, and open only the sum.",
)
ConfigPath = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="CONCAUSE_AGGREGATOR_CONFIG", help="Its settings."),
]
DEFAULT_CONFIG = Path("aggregator.toml")


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="The operator's name: a-z, 0-9, hyphens.")],
    folder: Annotated[Path, typer.Option(help="Where to put everything.")] = Path("aggregator"),
    relay: Annotated[str, typer.Option(help="HOST:PORT of the coordinator's relay.")] = (
        "coordinator.example.org:9443"
    ),
    meeting: Annotated[
        str, typer.Option(help="HOST:PORT where the roster's first aggregator listens.")
    ] = "10.0.0.1:29400",
    interface: Annotated[
        str, typer.Option(help="The network interface that leads to the other aggregators.")
    ] = "wg0",
    *,
    as_json: JsonFlag = False,
) -> None:
    """Make an aggregator: folder, keys and aggregator.toml. Overwrites nothing."""
    home = folder.absolute()
    settings = home / "aggregator.toml"
    if settings.exists():
        raise UsageError(
            "aggregator-exists",
            f"Expected no aggregator in {home}, found aggregator.toml.",
            "Choose another --folder, or go on with the one that is there.",
        )
    keys = home / "keys"
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)
    signing = public_key(create_signing_key(keys / "signing.key")).hex()
    sealing = public_half(create_sealing_key(keys / "sealing.key")).hex()
    settings.write_text(_settings(name, relay, meeting, interface), encoding="utf-8")
    load_aggregator_config(settings)
    said = (
        f"Aggregator {name} is made: {shown(settings)}\n"
        "The coordinator enrols it with:\n"
        f"  concause coordinator enrol-aggregator {name} {signing} {sealing}\n"
        "Next: put roster.json and your certificate beside it, then concause aggregator run"
    )
    document = {"name": name, "config": str(settings), "public_key": signing}
    show({**document, "sealing_key": sealing}, said, as_json=as_json)


@app.command()
def run(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Attend to rounds until stopped (Ctrl-C or SIGTERM)."""
    _check_installed()
    settings = load_aggregator_config(config)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    section = settings.relay
    with relay_client(section.address, section.tls, section.timeout_s) as relay:
        aggregator = _aggregator(settings, relay)
        console.print(f"Aggregator {settings.aggregator.name} is at work")
        sys.stdout.flush()
        aggregator.work(stop, section.poll_interval_s, _say)


def _aggregator(settings: AggregatorConfig, relay: RelayClient) -> Aggregator:
    own = settings.aggregator
    own.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    operator = find_operator(
        own.name,
        read_roster(own.roster),
        load_signing_key(own.signing_key),
        load_sealing_key(own.sealing_key),
    )
    return Aggregator(
        operator,
        relay,
        settings.meeting,
        SpentRounds(own.folder / "rounds"),
        SystemClock(),
        own.folder / "opening.log",
    )


def _say(text: str) -> None:
    console.print(text)
    sys.stdout.flush()


def _check_installed() -> None:
    if find_spec("crypten") is None or find_spec("torch") is None:
        raise UsageError(
            "extra-missing",
            "Expected CrypTen 0.4.1 on torch 2.13, found that one is not installed.",
            "Install concause[aggregator], then CrypTen: pip install --no-deps crypten==0.4.1",
        )


def _settings(name: str, relay: str, meeting: str, interface: str) -> str:
    return f"""\
# An aggregator of a consortium. Paths are relative to this file.

[aggregator]
name = "{name}"
signing_key = "keys/signing.key"    # signs the sums; the roster holds its public half
sealing_key = "keys/sealing.key"    # opens the shares that sites seal to this operator
roster = "roster.json"              # the one that the sites pinned; compare its hash with them
folder = "state"                    # which rounds were opened: never delete it

[relay]                             # the coordinator's
address = "{relay}"
root_certificates = "tls/root.pem"
certificate = "tls/aggregator.pem"
certificate_key = "tls/aggregator.key"

[meeting]                           # a private network or a tunnel between the aggregators
address = "{meeting}"               # where the roster's first aggregator listens
interface = "{interface}"           # the only one that is used
timeout_s = 60
"""
