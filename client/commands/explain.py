"""`concause site explain`: all that this site wrote down about an id that somebody quotes."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from client.commands.audit import lines_table
from client.commands.output import DEFAULT_CONFIG, ConfigPath, JsonFlag, read_file, show
from client.gate.audit import LOG_FILE as AUDIT_FILE
from client.gate.chain import read_lines
from client.gate.memory import LOG_FILE
from client.gate.site_config import read_site_config
from protocol.errors import UsageError

_ID = re.compile(r"[0-9a-f]{8,64}")
_IDS = ("incident", "session", "study")


def explain(
    quoted: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="A refusal's id, a round's folder or id, or a study's hash; 8 digits will do.",
            show_default=False,
        ),
    ],
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Show what this site wrote down about a refusal, a round or a study that somebody names.

    `concause round status` shows the coordinator the same ids. Local: a trace tells of this
    site's files, so read it before you pass it on.
    """
    wanted = _wanted(quoted)
    site = read_site_config(config).site
    lines = tuple(
        line
        for line in read_lines(read_file(site.audit / AUDIT_FILE))
        if _is_about(asdict(line.event), wanted)
    )
    logged = [entry for entry in _entries(site.folder / LOG_FILE) if _is_about(entry, wanted)]
    if not lines and not logged:
        raise UsageError(
            "id-unknown",
            f"Expected an id of something that happened here, found nothing about {wanted}.",
            "Copy it from the coordinator's message; it may be another site's.",
        )
    document = {"audit": [json.loads(line.encoded) for line in lines], "log": logged}
    show(document, lines_table(lines), *map(_words, logged), as_json=as_json)


def _wanted(quoted: str) -> str:
    """Return the digits to look for; of a round's folder, those after its number."""
    digits = quoted.rpartition("-")[2].lower()
    if not _ID.fullmatch(digits):
        raise UsageError(
            "not-an-id",
            "Expected at least 8 hexadecimal digits, found something else.",
            "Copy the id as the coordinator or the log has it.",
        )
    return digits


def _is_about(told: dict[str, Any], wanted: str) -> bool:
    return any(str(told.get(name) or "").startswith(wanted) for name in _IDS)


def _entries(path: Path) -> list[dict[str, Any]]:
    """Return the entries of the site's log; a line cut off by a crash is no entry."""
    found = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            entry = json.loads(text)
        except ValueError:
            continue
        found.append(entry)
    return found


def _words(entry: dict[str, Any]) -> str:
    """Return an entry of the log as text, its trace below."""
    shown = {name: entry[name] for name in ("step", "category", "code") if entry.get(name)}
    about = " ".join(f"{name}={value}" for name, value in shown.items())
    first = f"{entry.get('at', '')} {entry.get('event', '')} {about}".rstrip()
    return "\n".join(filter(None, [first, entry.get("trace")]))
