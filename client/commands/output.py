"""How a site's command reads its files and shows its result, for people or as JSON."""

import io
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console, RenderableType
from rich.table import Table

from client.gate.keys import load_key
from client.gate.private import replace_file
from protocol.errors import StorageError, UsageError
from protocol.study.document import parse_study
from protocol.study.study import Study

CONFIG_VARIABLE = "CONCAUSE_SITE_CONFIG"
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
ConfigPath = Annotated[
    Path, typer.Option("--config", "-c", envvar=CONFIG_VARIABLE, help="The site's settings.")
]
StudyPath = Annotated[Path, typer.Argument(help="The study, a TOML file.", show_default=False)]
KeyPath = Annotated[
    Path | None,
    typer.Option(
        "--key", envvar="CONCAUSE_PERSON_KEY", help="Your own key; `site person` makes one."
    ),
]
Why = Annotated[str | None, typer.Option("--why", help="A reason, for the audit log.")]
HtmlPath = Annotated[
    Path | None, typer.Option("--html", help="Write the page to this file too, for a browser.")
]
DEFAULT_CONFIG = Path("site.toml")
PIPED_WIDTH = 120
_PRIVATE = 0o600
console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)


def show(document: Mapping[str, Any], *renderables: RenderableType, as_json: bool) -> None:
    """Print `document` as JSON, or the renderables for people."""
    if as_json:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    say(*renderables)


def say(*renderables: RenderableType) -> None:
    """Print for people; square brackets are what they are, and lines are not cut."""
    for renderable in renderables:
        console.print(renderable, soft_wrap=isinstance(renderable, str), markup=False)


def write_page(path: Path, *renderables: RenderableType) -> None:
    """Write what people would see as one HTML file of its own.

    Raises:
        StorageError: it cannot be written.
    """
    page = Console(record=True, width=PIPED_WIDTH, highlight=False, file=io.StringIO())
    for renderable in renderables:
        page.print(renderable, markup=False)
    try:
        path.touch(mode=_PRIVATE)  # it may hold counts and spellings of the site's own
        path.chmod(_PRIVATE)
        path.write_text(page.export_html(inline_styles=True), encoding="utf-8")
    except OSError as error:
        raise StorageError(
            "file-not-writable", f"Expected to be allowed to write {path}.", "Choose another file."
        ) from error


def replace_text(path: Path, text: str) -> None:
    """Write a settings file anew, whole or not at all.

    Raises:
        StorageError: it cannot be written; the old one is as it was.
    """
    try:
        replace_file(path, text.encode())
    except OSError as error:
        raise StorageError(
            "file-not-writable",
            f"Expected to be allowed to write {path}; it is as it was.",
            "Check free space and permissions of its folder.",
        ) from error


def needed_key(path: Path | None) -> Ed25519PrivateKey:
    """Return the key of the person at the terminal.

    Raises:
        UsageError: none was given, or it is no key.
        PolicyError: others may read it.
    """
    if path is None:
        raise UsageError(
            "key-needed",
            "Expected your own key, found none.",
            "Give it with --key FILE; `concause site person` makes one.",
        )
    return load_key(path)


def facts(title: str, rows: Mapping[str, str]) -> Table:
    """Return a table of names and values; values are never cut off."""
    table = Table("", "", show_header=False, title=title, title_justify="left")
    table.columns[1].overflow = "fold"
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def read_file(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        UsageError: there is none that can be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            "file-not-readable",
            f"Expected to read {path}, found no file that can be read.",
            "Check the path and your permissions.",
        ) from error


def read_study(path: Path) -> Study:
    """Return the study in a TOML file.

    Raises:
        UsageError: it is missing, or not a valid study.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "file-not-readable",
            f"Expected a study (TOML) at {path}, found no text file that can be read.",
            "Check the path; it is relative to the present folder.",
        ) from error
    return parse_study(text)


def moment(seconds: int) -> str:
    """Return a time in seconds since 1970 as people read it, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def cost(rho: Fraction) -> str:
    """Return rho for display."""
    return f"{float(rho):.6g}"
