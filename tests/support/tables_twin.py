"""The brute-force CountSource: one record at a time, in plain Python and pandas.

Written from the rules alone, to share no mistake with the queries. Slow on purpose.
"""

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pandas as pd

from client.source.count_source import Counts
from client.source.site_table import Mapping
from protocol.study.graph import Clique
from protocol.study.study import Study
from protocol.study.variables import Boolean, Numeric, Variable
from tests.support.tables_records import Cell, Records

WORDS = {"true": 1.0, "false": 0.0}


class TwinSource:
    def __init__(
        self,
        records: Records,
        mapping: Mapping,
        study: Study,
        *,
        unit_column: str | None,
        bound_key: bytes,
    ) -> None:
        coded = [
            (
                _unit(row, unit_column),
                [_code(row, name, mapping, study) for name in study.variables],
            )
            for row in records.rows
        ]
        whole = [
            (unit, [code for code in codes if code is not None])
            for unit, codes in coded
            if unit is not None and None not in codes
        ]
        kept = _bounded(whole, study, bound_key) if unit_column is not None else whole
        self._study = study
        self._frame = pd.DataFrame(
            [codes for _, codes in kept], columns=list(study.variables), dtype="int64"
        )

    def counts(self, cliques: Sequence[Clique]) -> dict[Clique, Counts]:
        return {clique: self._table(clique) for clique in cliques}

    def _table(self, clique: Clique) -> Counts:
        table = np.zeros(self._study.sizes(clique), np.int64)
        for cell in self._frame[list(clique)].itertuples(index=False, name=None):
            table[cell] += 1
        return table


def _bounded(
    rows: Sequence[tuple[str, list[int]]], study: Study, key: bytes
) -> list[tuple[str, list[int]]]:
    by_unit: dict[str, list[tuple[str, list[int]]]] = defaultdict(list)
    for unit, codes in rows:
        content = ",".join(map(str, codes))
        order = hashlib.sha256(f"{key.hex()}:{content}:{unit}".encode()).hexdigest()
        by_unit[unit].append((order, codes))
    most = study.unit.max_rows_per_unit
    return [(unit, codes) for unit, found in by_unit.items() for _, codes in sorted(found)[:most]]


def unit_of(cell: Cell) -> str | None:
    """Return the text that stands for the unit of a cell, None if it names none."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    text = str(cell).lower() if isinstance(cell, bool) else str(cell).strip()
    whole, point, zeros = text.partition(".")
    is_whole = point and zeros.strip("0") == "" != zeros
    if is_whole and re.fullmatch(r"-?\d+", whole, re.ASCII):
        return whole
    return text or None


def _unit(row: dict[str, Cell], column: str | None) -> str | None:
    return "" if column is None else unit_of(row[column])


def _code(row: dict[str, Cell], name: str, mapping: Mapping, study: Study) -> int | None:
    variable, cell = study.variables[name], row[mapping.column_of(name)]
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return variable.missing_code
    for same in (_same_text, _same_number):
        for spelling, label in _spellings(variable, mapping.values_of(name)):
            if same(cell, spelling):
                return variable.labels.index(label)
    return _bin(cell, variable) if isinstance(variable, Numeric) else variable.other_code


def _spellings(variable: Variable, values: dict[str, str]) -> list[tuple[str, str]]:
    own = [(label, label) for label in variable.labels]
    if isinstance(variable, Numeric):
        own = [pair for pair in own if pair[0] == "MISSING"]
    if isinstance(variable, Boolean):
        words = {"1": ("true", "True", "TRUE"), "0": ("false", "False", "FALSE")}
        own += [(word, label) for label, those in words.items() for word in those]
    return [*values.items(), *own]


def _same_text(cell: Cell, spelling: str) -> bool:
    text = str(cell).lower() if isinstance(cell, bool) else cell
    return text == spelling


def _same_number(cell: Cell, spelling: str) -> bool:
    left, right = _number(cell), _number(spelling)
    return left is not None and left == right


def _bin(cell: Cell, variable: Numeric) -> int | None:
    number = None if isinstance(cell, bool) or cell in WORDS else _number(cell)
    if number is None:
        return variable.missing_code
    inner = [float(edge) for edge in variable.edges[1:-1]]
    return sum(number >= edge for edge in inner)


def _number(cell: Cell) -> float | None:
    if isinstance(cell, bool):
        return float(cell)
    if not isinstance(cell, str):
        return None if cell is None else float(cell)
    if cell in WORDS:
        return WORDS[cell]
    plain = re.fullmatch(
        r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", cell, re.ASCII | re.IGNORECASE
    )
    return float(cell) if plain else None
