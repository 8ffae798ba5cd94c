"""The table of one node in a BIF text, from its rows, its `table` or its `default`."""

import math
import re
from collections.abc import Sequence

import numpy as np

from protocol.study.problems import nearest
from server.causal.exchange.bif_tokens import Token, Tokens
from server.causal.exchange.network import MAX_CELLS, Table

LARGEST_ROUNDING = 0.002  # of the sum of a row: thirds are written as 0.333

_ROUNDING = 1e-12
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

Levels = Sequence[tuple[str, ...]]  # of each parent


def read_table(tokens: Tokens, levels: Levels, size: int, start: Token) -> Table:
    """Return P(node | parents) from the entries of a block, up to its closing brace.

    Raises:
        UsageError: "bif-invalid", naming the line.
    """
    rows = math.prod(map(len, levels))
    if rows * size > MAX_CELLS:
        found = f"{rows} rows of {size}"
        tokens.refuse(f"tables of at most {MAX_CELLS:,} probabilities", found, start.at)
    return _Entries(tokens, levels, size, start).table()


class _Entries:
    """The entries of one block; rows that none names are NaN until the end."""

    def __init__(self, tokens: Tokens, levels: Levels, size: int, start: Token) -> None:
        self._tokens, self._start = tokens, start
        self._levels, self._codes = levels, [{v: k for k, v in enumerate(own)} for own in levels]
        self._shape = tuple(len(own) for own in levels)
        self._size = size
        self._rows = np.full((math.prod(self._shape), size), np.nan)
        self._default: list[float] | None = None

    def table(self) -> Table:
        while not self._tokens.is_mark("}"):
            self._entry()
        left = np.isnan(self._rows[:, 0])
        if left.any() and self._default is None:
            found = f"none for ({', '.join(self._names(int(np.argmax(left))))})"
            self._tokens.refuse("a row for all levels of the parents", found, self._start.at)
        if self._default is not None:
            self._rows[left] = self._default
        return self._rows.reshape(*self._shape, self._size)

    def _names(self, row: int) -> list[str]:
        codes = np.unravel_index(row, self._shape)
        return [own[int(code)] for own, code in zip(self._levels, codes, strict=True)]

    def _entry(self) -> None:
        first = self._tokens.take()
        match first[:2]:
            case ("mark", "("):
                row = self._row_named(first)
                self._check_new(first, taken=not math.isnan(self._rows[row, 0]))
                self._rows[row] = self._distribution(first)
            case ("word", "default"):
                self._check_new(first, taken=self._default is not None)
                self._default = self._distribution(first)
            case ("word", "table"):
                self._check_new(first, taken=not np.isnan(self._rows).all())
                self._rows[:] = self._whole(first)
            case ("word", "property"):
                self._tokens.skip_past(";")
            case _:
                expected = "a row such as (yes) 0.1, 0.9; or table, or default"
                self._tokens.refuse(expected, first.text, first.at)

    def _check_new(self, first: Token, *, taken: bool) -> None:
        if taken:
            self._tokens.refuse("each row once", "it twice", first.at)

    def _row_named(self, first: Token) -> int:
        """Take `level, .. )` and return the number of the row, the last parent fastest."""
        row = 0
        for at, codes in enumerate(self._codes):
            if at:
                self._tokens.expect(",")
            level = self._tokens.name("a level of each parent")
            if level.text not in codes:
                remedy = f"Write {nearest(level.text, codes)}."
                self._tokens.refuse("a level of the parent", level.text, level.at, remedy)
            row = row * len(codes) + codes[level.text]
        if not self._codes:
            self._tokens.refuse("table, of a node without parents", "(", first.at)
        self._tokens.expect(")")
        return row

    def _whole(self, first: Token) -> Table:
        """Return the rows of `table`, which lists the node's own levels slowest."""
        numbers = self._numbers(first, self._rows.size)
        rows = np.array(numbers).reshape(self._size, -1).T
        return np.array([self._normalised(list(row), first) for row in rows])

    def _distribution(self, first: Token) -> list[float]:
        return self._normalised(self._numbers(first, self._size), first)

    def _numbers(self, first: Token, count: int) -> list[float]:
        """Take so many probabilities and the semicolon."""
        found: list[float] = []
        while not self._tokens.is_mark(";"):
            if found and self._tokens.is_mark(","):
                self._tokens.take()
            word = self._tokens.name("a probability")
            number = float(word.text) if _NUMBER.fullmatch(word.text) else math.nan
            if not 0 <= number <= 1:
                self._tokens.refuse("a probability from 0 to 1", word.text, word.at)
            found.append(number)
        self._tokens.take()
        if len(found) != count:
            self._tokens.refuse(f"{count} probabilities", str(len(found)), first.at)
        return found

    def _normalised(self, row: list[float], first: Token) -> list[float]:
        total = math.fsum(row)
        if abs(total - 1) > LARGEST_ROUNDING:
            self._tokens.refuse("probabilities that sum to 1", f"{total:.6g}", first.at)
        if abs(total - 1) < _ROUNDING:
            return row  # so that what was normalised and written is read back the same
        return [share / total for share in row]
