"""`concause site audit ...`: reading the audit log, and proving that it is whole."""

import json
import os
from contextlib import closing
from pathlib import Path
from time import time
from typing import Annotated, Any

import typer
from rich.table import Table

from client.commands.output import (
    DEFAULT_CONFIG,
    ConfigPath,
    JsonFlag,
    KeyPath,
    Why,
    moment,
    needed_key,
    read_file,
    show,
)
from client.gate.approvals import ApprovalFolder
from client.gate.audit import LOG_FILE
from client.gate.chain import GENESIS, Line, check_holds, read_lines
from client.gate.decisions import Decisions, signer_of
from client.gate.keys import load_key
from client.gate.memory import DATABASE_FILE, open_memory
from client.gate.people import Role
from client.gate.policy import read_policy
from client.gate.site_config import SiteConfig, read_site_config
from protocol.checkpoints import Checkpoint, read_checkpoint, sign_checkpoint
from protocol.errors import PolicyError, StorageError, UsageError
from protocol.identifiers import PublicKey
from protocol.signing import parse_public_key, public_key

FORMAT = "concause-audit-checkpoint/1"
app = typer.Typer(no_args_is_help=True, help="The audit log: show, verify, export.")
LogPath = Annotated[
    Path | None, typer.Argument(help="The log, a JSONL file; by default this site's own.")
]


@app.command("show")
def show_log(config: ConfigPath = DEFAULT_CONFIG, *, as_json: JsonFlag = False) -> None:
    """Show what was decided, asked, refused and released here, oldest first."""
    path = read_site_config(config).site.audit / LOG_FILE
    lines = read_lines(read_file(path)) if path.parent.exists() else ()
    document = {"lines": [json.loads(line.encoded) for line in lines]}
    show(document, lines_table(lines) if lines else "No entries yet.", as_json=as_json)


@app.command()
def verify(  # noqa: PLR0913 - one option per thing to compare with
    log: LogPath = None,
    config: ConfigPath = DEFAULT_CONFIG,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="A checkpoint kept elsewhere; more than one may be given."),
    ] = None,
    trust: Annotated[
        list[str] | None,
        typer.Option(
            help="A public key whose checkpoints count, in hex; by default the site's and its "
            "auditors'."
        ),
    ] = None,
    attest: Annotated[
        Path | None,
        typer.Option(help="Write a checkpoint of what was verified, signed with --key."),
    ] = None,
    key: KeyPath = None,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Check that no line of the log was changed, added, removed or cut off.

    The chain shows all but a missing end. An end that is missing shows against a checkpoint that
    somebody else keeps: an auditor (--attest), or the coordinator. For a log without its site, give
    the file and --trust; nothing else of the site is read.
    """
    path = log or read_site_config(config).site.audit / LOG_FILE
    lines = read_lines(read_file(path))
    if log is None:
        _check_against_memory(read_site_config(config))
    kept = list(checkpoint or ())
    if kept:
        trusted = [parse_public_key(text) for text in trust or ()] or _trusted(config)
        for each in kept:
            check_holds(lines, _read_checkpoint(each, trusted))
    if attest is not None:
        signing_key = needed_key(key)
        head = lines[-1].hash if lines else GENESIS
        content = _checkpoint_document(sign_checkpoint(head, signing_key), public_key(signing_key))
        _write(attest, content)
    last = lines[-1] if lines else None
    document = {
        "lines": len(lines),
        "head": (last.hash if last else GENESIS).hex(),
        "checkpoints": len(kept),
        "last": last.at if last else None,
    }
    against = f", and holds {len(kept)} checkpoints" if kept else "; no checkpoint was compared"
    words = f"{len(lines)} lines in one unbroken chain{against}."
    if attest is not None and log is None and public_key(signing_key) not in _trusted(config):
        words += " But the key that attested belongs to no auditor here: nobody will trust it."
    show(document, words, as_json=as_json)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="A new file for the copy.")],
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Copy the log for someone outside, with a checkpoint by the site's key beside it."""
    site = read_site_config(config)
    with closing(open_memory(site.site.folder, site.site.audit)) as memory:
        memory.audit.check()
        content = memory.audit.path.read_bytes()
    lines = read_lines(content)  # the gate may have gone on since
    head = lines[-1].hash if lines else GENESIS
    signing_key = load_key(site.site.signing_key)
    beside = out.with_name(out.name + ".checkpoint")
    _write(out, content)
    _write(
        beside, _checkpoint_document(sign_checkpoint(head, signing_key), public_key(signing_key))
    )
    document = {
        "log": str(out),
        "checkpoint": str(beside),
        "public_key": public_key(signing_key).hex(),
        "head": head.hex(),
    }
    words = (
        f"Wrote {out} and {beside}. To check them anywhere:\n"
        f"concause site audit verify {out} --checkpoint {beside} "
        f"--trust {public_key(signing_key).hex()}"
    )
    show(document, words, as_json=as_json)


@app.command()
def restore(
    config: ConfigPath = DEFAULT_CONFIG,
    key: KeyPath = None,
    why: Why = None,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Write a damaged log anew from the gate's database, with the site administrator's key.

    What is there is kept beside it, for whoever asks how it was damaged. A log that goes on where
    the database ends is not touched: then the database is the older copy.
    """
    site = read_site_config(config)
    signer = signer_of(read_policy(site.site.policy), needed_key(key))
    with closing(open_memory(site.site.folder, site.site.audit)) as memory:
        decisions = Decisions(memory, ApprovalFolder(site.site.folder))
        aside = decisions.restore_audit(signer, why, now=int(time()))
    words = f"The log is whole again; what was there is in {aside}."
    show({"kept": str(aside), "by": signer.words}, words, as_json=as_json)


def lines_table(lines: tuple[Line, ...]) -> Table:
    """Return lines as people read them; ids by their beginnings."""
    table = Table("no.", "time (UTC)", "what", "who", "study", "round", "code", "why or id")
    for line in lines:
        event = line.event
        table.add_row(
            str(line.number),
            moment(line.at),
            event.event,
            event.who,
            (event.study or "")[:8],
            (event.session or "")[:8],
            event.code or "",
            event.why or event.incident or "",
        )
    return table


def _check_against_memory(site: SiteConfig) -> None:
    """Compare the site's own log with the gate's database, for whoever may read that."""
    if os.access(site.site.folder / DATABASE_FILE, os.R_OK | os.W_OK):
        with closing(open_memory(site.site.folder, site.site.audit)) as memory:
            memory.check_whole()


def _trusted(config: Path) -> list[PublicKey]:
    site: SiteConfig = read_site_config(config)
    people = read_policy(site.site.policy).people
    auditors = [parse_public_key(each.key) for each in people if each.role is Role.AUDITOR]
    return [public_key(load_key(site.site.signing_key)), *auditors]


def _checkpoint_document(checkpoint: Checkpoint, signer: PublicKey) -> bytes:
    document = {
        "format": FORMAT,
        "at": int(time()),
        "checkpoint": checkpoint.encode().hex(),
        "signer": signer.hex(),
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def _read_checkpoint(path: Path, trusted: list[PublicKey]) -> Checkpoint:
    try:
        document: Any = json.loads(read_file(path))
        encoded = bytes.fromhex(document["checkpoint"])
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(
            "not-a-checkpoint",
            f"Expected a checkpoint in {path}, found something else.",
            "Give a file that `site audit export` or `site audit verify --attest` wrote.",
        ) from error
    for key in trusted:
        if (found := read_checkpoint(encoded, key)) is not None:
            return found
    raise PolicyError(
        "checkpoint-not-trusted",
        f"The checkpoint in {path} is by none of the keys that count here.",
        "Give the public key of who signed it with --trust, if you know whose it is.",
    )


def _write(path: Path, content: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise StorageError(
            "file-not-writable",
            f"Expected to make a new file {path}.",
            "Choose a name that is free, in a folder that you may write to.",
        ) from error
