"""Where in a TOML text a field stands, for messages: tomllib does not say.

A scan by lines, good enough to point at: table headers and `key =` at the start of a line,
outside of multi-line strings and arrays. A field inside an inline table or array is found at the
line of what contains it.
"""

import re
from collections import Counter

from protocol.study.problems import Path

_HEADER = re.compile(r"\s*(\[\[?)\s*(.+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")
_STRING = re.compile(r""""(?:\\.|[^"\\])*"|'[^']*'|#.*$""")


class LineIndex:
    """Line numbers, from 1, of the tables and keys of one text."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        self._arrays: Counter[Path] = Counter()
        self._table: Path = ()
        self._open_quote = ""
        self._depth = 0
        for number, line in enumerate(text.splitlines(), start=1):
            self._read(number, line)

    def line_of(self, where: Path) -> int | None:
        """Return the line of `where`, or of the nearest thing around it; None if unknown."""
        for length in range(len(where), 0, -1):
            if where[:length] in self._lines:
                return self._lines[where[:length]]
        return None

    def _read(self, number: int, line: str) -> None:
        if self._open_quote:
            if self._open_quote in line:
                self._open_quote = ""
            return
        if self._depth == 0:
            self._note(number, line)
        self._follow(line)

    def _note(self, number: int, line: str) -> None:
        if header := _HEADER.match(line):
            name = _path(header.group(2))
            if header.group(1) == "[[":
                self._arrays[name] += 1
            self._table = self._numbered(name)
            for length in range(1, len(self._table) + 1):
                self._lines.setdefault(self._table[:length], number)
        elif key := _KEY.match(line):
            self._lines.setdefault((*self._table, *_path(key.group(1))), number)

    def _numbered(self, name: Path) -> Path:
        """Insert the position of the current entry after each array of tables on the way."""
        path: Path = ()
        for length, part in enumerate(name, start=1):
            path = (*path, part)
            if name[:length] in self._arrays:
                path = (*path, self._arrays[name[:length]] - 1)
        return path

    def _follow(self, line: str) -> None:
        for quote in ('"""', "'''"):
            if line.count(quote) % 2:
                self._open_quote = quote
                return
        bare = _STRING.sub("", line)
        if self._depth or not _HEADER.match(line):
            self._depth = max(0, self._depth + bare.count("[") - bare.count("]"))


def path_text(where: Path) -> str:
    """Return a path as people write it: variables.age.edges, questions[1].treated."""
    text = ""
    for part in where:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "the study"


def _path(dotted: str) -> Path:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))
