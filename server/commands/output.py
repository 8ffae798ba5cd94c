"""How a command reads its files and shows its result: for people, or as one JSON document."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType

from protocol.errors import StorageError, UsageError
from protocol.study.document import parse_study
from protocol.study.study import Study

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
StudyFile = Annotated[Path, typer.Argument(help="The study, a TOML file.", show_default=False)]
PIPED_WIDTH = 120
console = Console(  # square brackets are what they are, as in x[t-1]
    highlight=False, markup=False, width=None if sys.stdout.isatty() else PIPED_WIDTH
)


def show(document: Mapping[str, Any], *renderables: RenderableType, as_json: bool) -> None:
    """Print `document` as JSON, or the renderables for people."""
    if as_json:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for renderable in renderables:
        console.print(renderable, soft_wrap=isinstance(renderable, str))


def read_text(path: Path, what: str) -> str:
    """Return the text of a file.

    Raises:
        UsageError: it is not there or not UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(
            "file-not-found",
            f"Expected {what} at {path}, found no file.",
            "Check the path; it is relative to the present folder.",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "file-not-readable",
            f"Expected {what} at {path}, found something that cannot be read as text.",
            "Check that it is a file, its permissions and its encoding (UTF-8).",
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a file as UTF-8, in a folder that is made if there is none.

    Raises:
        StorageError: the disk did not take it.
    """
    with written(path):
        path.write_text(text, encoding="utf-8")


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Write `path` inside of this, in a folder that is made if there is none.

    Raises:
        StorageError: the disk did not take it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise StorageError(
            "file-not-written",
            f"Expected to write {path}, the system said: {error.strerror}.",
            "Check the path, its permissions and the space on the disk.",
        ) from error


def read_study(path: Path) -> Study:
    """Return the study in a TOML file."""
    return parse_study(read_text(path, "a study (TOML)"))


def shown(path: Path) -> str:
    """Return a path as people type it: relative to the present folder, if it is inside."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
