"""Records of an imaginary site, written as Parquet or CSV."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

Cell = str | bytes | int | float | bool | None


@dataclass(frozen=True)
class Column:
    """Values of one column, and the Arrow type that they are stored as."""

    type: str
    values: tuple[Cell, ...]


@dataclass(frozen=True)
class Records:
    """A table by columns; every column has the same length."""

    columns: Mapping[str, Column]

    @property
    def rows(self) -> list[dict[str, Cell]]:
        names = list(self.columns)
        values = [self.columns[name].values for name in names]
        return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]

    def reordered(self, order: Sequence[int]) -> "Records":
        return Records(
            {
                name: Column(column.type, tuple(column.values[place] for place in order))
                for name, column in self.columns.items()
            }
        )

    @property
    def arrow(self) -> pa.Table:
        return pa.table(
            {
                name: pa.array(column.values, type=pa.type_for_alias(column.type))
                for name, column in self.columns.items()
            }
        )

    def write_parquet(self, path: Path) -> Path:
        pq.write_table(self.arrow, path)
        return path

    def write_csv(self, path: Path) -> Path:
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(self.columns)
            writer.writerows([_text(cell) for cell in row.values()] for row in self.rows)
        return path


def records(**columns: tuple[str, Sequence[Cell]]) -> Records:
    """Return records from `name=(type, values)`."""
    return Records({name: Column(type_, tuple(cells)) for name, (type_, cells) in columns.items()})


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return str(cell).lower()
        case float():
            return "" if math.isnan(cell) else repr(cell)
        case _:
            return str(cell)
