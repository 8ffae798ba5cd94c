"""CSV files as RFC 4180 has them: nothing about how they are read depends on the records.

DuckDB would guess quotes, delimiter and first line from the records, and drops without a word
what follows a quote that never closes: one record could change every count. So it is told the
whole dialect, and the files are checked here before it reads them. A quote opens and closes a
whole field or is doubled inside one; a line ends in LF or CRLF; the text is UTF-8.
"""

import codecs
import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from client.source.fingerprint import unreadable
from protocol.errors import UsageError

Text = NDArray[np.uint8]  # bytes of a file

_QUOTE, _LF, _CR = b'"\n\r'
_MOST_HEADER_BYTES = 2**20
_CHUNK_BYTES = 2**20


def not_readable() -> UsageError:
    """Return the refusal of files that are not what the settings say."""
    return UsageError(
        "data-not-readable",
        "Expected files of the format in [data], found something else inside.",
        "Correct `format` or `delimiter`, or write the files again (CSV: UTF-8, a header, equal "
        'columns, fields with a " in them quoted and the " doubled).',
    )


def header(file: Path, delimiter: str) -> tuple[str, ...]:
    """Return the column names in the first line of `file`, trimmed; "column3" for an empty one.

    Raises:
        UsageError: the line is none of CSV, or two names are one to the engine.
        StorageError: the file cannot be read.
    """
    with _opened(file) as stream:
        line = stream.readline(_MOST_HEADER_BYTES)
    try:
        (cells,) = csv.reader([line.decode("utf-8-sig")], delimiter=delimiter, strict=True)
    except (ValueError, csv.Error) as error:
        raise not_readable() from error
    names = tuple(cell.strip() or f"column{place}" for place, cell in enumerate(cells))
    if not names:
        raise not_readable()
    _check_distinct(names)
    return names


def record_count(file: Path, delimiter: str, *, blank_too: bool) -> int:
    """Return how many lines follow the header, by quotes and line ends alone.

    Blank lines count if `blank_too`, as they do where there is one column.

    Raises:
        UsageError: the file is not CSV as this module has it.
        StorageError: it cannot be read.
    """
    lines = _Lines(delimiter, blank_too)
    decoder = codecs.getincrementaldecoder("utf-8")()
    with _opened(file) as stream:
        if stream.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            stream.seek(0)
        before, current = b"\n", stream.read(_CHUNK_BYTES)
        while current:
            following = stream.read(_CHUNK_BYTES)
            _check_utf8(decoder, current, final=not following)
            lines.add(before[-1:] + current + (following[:1] or b"\n"), last=not following)
            before, current = current, following
    return lines.after_header()


@dataclass(slots=True)
class _Lines:
    """Counts the lines of a file that is added chunk by chunk."""

    delimiter: str
    blank_too: bool
    quotes: int = 0
    starts: int = 0  # of lines after the first

    def add(self, window: bytes, *, last: bool) -> None:
        """Count a chunk of the file; `window` has one byte more before it and one behind it."""
        text = np.frombuffer(window, np.uint8)
        quotes = np.flatnonzero(text[1:-1] == _QUOTE) + 1
        self._check_quotes(text, quotes)
        self._check_returns(text, quotes)
        ends = self._outside(text, quotes, _LF)
        if last and ends.size and ends[-1] == len(text) - 2:
            ends = ends[:-1]  # no line starts at the end of the file
        next_ = text[ends + 1]
        blank = (next_ == _LF) | (next_ == _CR)
        self.starts += ends.size if self.blank_too else int(np.count_nonzero(~blank))
        self.quotes += quotes.size

    def after_header(self) -> int:
        """Return the number of lines but the first, once the whole file was added."""
        if self.quotes % 2:
            raise not_readable()
        return self.starts

    def _check_quotes(self, text: Text, quotes: NDArray[np.intp]) -> None:
        """Check that quotes are at the ends of fields, or next to another quote."""
        first = self.quotes % 2
        opening, closing = quotes[first::2], quotes[1 - first :: 2]
        border = [ord(self.delimiter), _LF, _QUOTE]
        before, behind = text[opening - 1], text[closing + 1]
        if not (np.isin(before, border).all() and np.isin(behind, [*border, _CR]).all()):
            raise not_readable()

    def _check_returns(self, text: Text, quotes: NDArray[np.intp]) -> None:
        if (text[self._outside(text, quotes, _CR) + 1] != _LF).any():
            raise not_readable()

    def _outside(self, text: Text, quotes: NDArray[np.intp], byte: int) -> NDArray[np.intp]:
        """Return where `byte` is in the chunk outside quotes."""
        found = np.flatnonzero(text[1:-1] == byte) + 1
        outside: NDArray[np.intp] = found[(self.quotes + np.searchsorted(quotes, found)) % 2 == 0]
        return outside


def alike(names: Sequence[str]) -> bool:
    """Return whether two names are one to the engine, for which case is no difference."""
    return any(one == other for one, other in pairwise(sorted(name.casefold() for name in names)))


def _check_distinct(names: Sequence[str]) -> None:
    if alike(names):
        raise UsageError(
            "data-header-repeats",
            "Expected different names in the header of a CSV file, found one twice; the case of "
            "letters is no difference.",
            "Rename the columns in the file.",
        )


def _check_utf8(decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool) -> None:
    try:
        decoder.decode(chunk, final)
    except ValueError as error:
        raise not_readable() from error


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    try:
        with file.open("rb") as stream:
            yield stream
    except OSError as error:
        raise unreadable() from error
