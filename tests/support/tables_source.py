"""Opening a DuckDBSource over records in a test's own folder."""

from pathlib import Path
from typing import Any

from client.source.duckdb_source import DuckDBSource
from client.source.site_table import Mapping, SiteData
from protocol.study.document import parse_study
from protocol.study.study import Study
from tests.support.tables_records import Records, records
from tests.support.tables_study import KEY, MAPPING, UNIT, ward_study

GOOD = records(
    patient=("int64", [1, 2, 3, 3]),
    smoker=("bool", [True, False, None, True]),
    ward_name=("string", ["N", "south", None, "attic"]),
    grade=("int64", [1, 2, 3, 3]),
    age=("double", [0.0, 40.5, 65.0, 99.0]),
)


def open_file(
    file: Path,
    *,
    study: Study | None = None,
    mapping: Mapping = MAPPING,
    unit: str | None = UNIT,
    **settings: Any,
) -> DuckDBSource:
    data = SiteData(path=str(file), unit_column=unit, one_row_per_unit=unit is None)
    spill = (file if file.is_dir() else file.parent) / "spill"
    arguments = {"bound_key": KEY, "folder": spill, **settings}
    return DuckDBSource(data, mapping, study or ward_study(), **arguments)


def open_records(table: Records, folder: Path, **settings: Any) -> DuckDBSource:
    return open_file(table.write_parquet(folder / "records.parquet"), **settings)


def single_study(variable: str, rows: int = 1) -> Study:
    """Return a study of one variable `x`, declared by the given TOML lines."""
    return parse_study(
        f"""
format = "concause-study/1"
name = "one"
title = "One variable"
author = "Tests"
expires = 2031-01-01
unit = {{ name = "person", max_rows_per_unit = {rows} }}
budget = {{ epsilon = 1, delta = 1e-6 }}
cohort = {{ n_min = 3, tolerated_colluders = 0, threshold = 3 }}
trust = {{ aggregation = "masking" }}
graph = {{ edges = [] }}

[variables.x]
{variable}
"""
    )


def counts_of(cells: Any, type_: str, variable: str, folder: Path, **values: str) -> list[int]:
    """Return the counts of `x` over a Parquet file with the one column `x`, unit attested."""
    study = single_study(variable)
    mapping = Mapping.model_validate({"x": {"values": values}})
    with open_records(
        records(x=(type_, cells)), folder, study=study, mapping=mapping, unit=None
    ) as source:
        return [int(count) for count in source.counts([("x",)])[("x",)]]
