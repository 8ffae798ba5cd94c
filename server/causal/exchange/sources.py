"""Where a graph or a network comes from: a text, or a file of it, plain or gzipped."""

import gzip
import zlib
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from protocol.errors import StorageError, UsageError
from protocol.study.problems import either, nearest, quote

Format: TypeAlias = Literal["dagitty", "dot", "gml", "json", "bif"]

FORMATS: tuple[str, ...] = get_args(Format)
MAX_BYTES = 50_000_000

_ENDINGS: dict[str, Format] = {
    ".dagitty": "dagitty",
    ".dot": "dot",
    ".gv": "dot",
    ".gml": "gml",
    ".json": "json",
    ".bif": "bif",
}
_GZIPPED = ".gz"
_ONLY_IN_TEXTS = "{[\n"  # every text of every format has one of these


def is_text(source: str | Path) -> bool:
    """Return whether a source is a text itself, not the path of a file."""
    return isinstance(source, str) and any(mark in source for mark in _ONLY_IN_TEXTS)


def format_of(source: str | Path, given: str | None = None) -> Format:
    """Return the format of a source: the one that is given, or that of its ending.

    Raises:
        UsageError: an unknown format or ending, or a text without a format.
    """
    if given is not None:
        return _known(given)
    if is_text(source):
        raise _unknown("the format of a text", "none given", either(FORMATS))
    name = Path(source).name.lower().removesuffix(_GZIPPED)
    ending = name[name.rfind(".") :] if "." in name else ""
    if ending not in _ENDINGS:
        found = f"the ending {ending!r}" if ending else "no ending"
        endings = either(tuple(_ENDINGS))
        raise _unknown(
            "a file that ends as its format", found, f"{endings}; or give the format beside it"
        )
    return _ENDINGS[ending]


def _known(given: str) -> Format:
    for name in _ENDINGS.values():
        if name == given:
            return name
    raise _unknown("a format", quote(given), nearest(given, FORMATS))


def _unknown(expected: str, found: str, remedy: str) -> UsageError:
    return UsageError("format-unknown", f"Expected {expected}, found {found}.", f"Write {remedy}.")


def read_source(source: str | Path, what: str = "a graph") -> str:
    """Return the text of a source.

    Raises:
        UsageError: there is no such file, it is not UTF-8 text, or it is too long.
    """
    if is_text(source):
        text = str(source)
        _check_length(len(text), what)
        return text.removeprefix("\ufeff")
    path = Path(source)
    try:
        content = _content(path)
        _check_length(len(content), what)
        return content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UsageError(
            "file-not-found",
            f"Expected {what} at {path}, found no file.",
            "Check the path; it is relative to the present folder.",
        ) from error
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise UsageError(
            "file-not-readable",
            f"Expected {what} at {path}, found something that cannot be read as text.",
            "Check that it is a file, its permissions and its encoding (UTF-8).",
        ) from error


def _content(path: Path) -> bytes:
    """Return the bytes of a file, however much it would unpack to one more than may be at most."""
    if path.suffix.lower() == _GZIPPED:
        with gzip.open(path) as packed:
            return packed.read(MAX_BYTES + 1)
    with path.open("rb") as plain:
        return plain.read(MAX_BYTES + 1)


def _check_length(length: int, what: str) -> None:
    if length > MAX_BYTES:
        raise UsageError(
            "file-too-large",
            f"Expected {what} of at most {MAX_BYTES:,} bytes.",
            "Take out what it does not need.",
        )


def write_file(path: str | Path, text: str) -> None:
    """Write a text as UTF-8, gzipped if the path ends so.

    Raises:
        StorageError: the disk did not take it.
    """
    try:
        content = text.encode()
        packed = Path(path).suffix.lower() == _GZIPPED
        Path(path).write_bytes(gzip.compress(content, mtime=0) if packed else content)
    except OSError as error:
        raise StorageError(
            "file-not-written",
            f"Expected to write {path}, the system said: {error.strerror}.",
            "Check the path, its permissions and the space on the disk.",
        ) from error
