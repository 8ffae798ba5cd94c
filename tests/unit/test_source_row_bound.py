"""Who says how many rows a unit may contribute, and every way to say it wrongly."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from client.source.row_bound import RowBound, row_bound
from client.source.site_table import Mapping, SiteData
from protocol.errors import UsageError
from tests.support.tables_records import records
from tests.support.tables_source import GOOD, open_records, single_study
from tests.support.tables_study import KEY, ward_study


@pytest.mark.parametrize(
    ("settings", "rows", "code"),
    [
        ({}, 1, "unit-column-needed"),
        ({}, 2, "unit-column-needed"),
        ({"one_row_per_unit": True}, 2, "attestation-not-enough"),
        ({"one_row_per_unit": True, "unit_column": "p"}, 1, "unit-column-and-attestation"),
    ],
)
def test_units_that_are_neither_named_nor_attested_are_refused(
    settings: dict[str, Any], rows: int, code: str
) -> None:
    with pytest.raises(UsageError) as refused:
        row_bound(SiteData(path="-", **settings), ward_study(rows), KEY)
    assert refused.value.code == code
    assert refused.value.remedy


def test_a_short_key_is_refused() -> None:
    with pytest.raises(UsageError) as refused:
        row_bound(SiteData(path="-", unit_column="p"), ward_study(), b"short")
    assert refused.value.code == "bound-key-too-short"


def test_attestation_is_enough_for_a_bound_of_one() -> None:
    found = row_bound(SiteData(path="-", one_row_per_unit=True), ward_study(1), KEY)
    assert found == RowBound(None, 1, KEY)


def test_the_key_is_in_no_repr() -> None:
    text = repr(RowBound("p", 1, KEY))
    assert "key" not in text
    assert KEY.hex() not in text


@pytest.mark.parametrize("unit", ["nobody", "Patient"])
def test_a_unit_column_that_is_not_there_is_refused(unit: str, tmp_path: Path) -> None:
    with open_records(GOOD, tmp_path, unit=unit) as source:
        with pytest.raises(UsageError) as refused:
            source.counts([()])
        assert refused.value.code == "unit-column-missing"
        assert unit not in str(refused.value)


def test_a_unit_column_of_another_type_is_refused(tmp_path: Path) -> None:
    table = records(x=("int64", [1]), patient=("binary", [b"1"]))
    study, mapping = single_study('kind = "boolean"'), Mapping()
    with open_records(table, tmp_path, study=study, mapping=mapping) as source:
        with pytest.raises(UsageError) as refused:
            source.counts([()])
        assert refused.value.code == "unit-column-type"


def kept(cells: list[int], key: bytes, folder: Path, *, unit: str = "p") -> list[int]:
    table = records(x=("int64", cells), patient=("string", [unit] * len(cells)))
    study = single_study('kind = "ordinal"\nlevels = ["0", "1", "2", "3", "4", "5"]', rows=2)
    with open_records(table, folder, study=study, mapping=Mapping(), bound_key=key) as source:
        return [int(count) for count in source.counts([("x",)])[("x",)]]


def test_the_rows_that_stay_are_the_first_by_keyed_hash(tmp_path: Path) -> None:
    def order(code: int) -> str:
        return hashlib.sha256(f"{KEY.hex()}:{code}:p".encode()).hexdigest()

    chosen = sorted(range(6), key=order)[:2]
    assert kept([0, 1, 2, 3, 4, 5], KEY, tmp_path) == [int(code in chosen) for code in range(6)]


def test_another_key_keeps_other_rows(tmp_path: Path) -> None:
    found = {tuple(kept([0, 1, 2, 3, 4, 5], bytes([k]) * 16, tmp_path)) for k in range(8)}
    assert len(found) > 1


def test_units_that_are_written_as_floats_are_those_written_as_integers(tmp_path: Path) -> None:
    study = single_study('kind = "boolean"')
    table = records(x=("int64", [1, 1, 1]), patient=("double", [1.0, 1.0, float("nan")]))
    with open_records(table, tmp_path, study=study, mapping=Mapping()) as source:
        assert source.counts([()])[()] == 1
        assert source.readiness().rows.units == 1
        assert source.readiness().rows.without_unit == 1


def test_units_far_beyond_integers_are_told_apart(tmp_path: Path) -> None:
    study = single_study('kind = "boolean"')
    table = records(x=("int64", [1, 1, 1]), patient=("double", [1e300, 2e300, float("inf")]))
    with open_records(table, tmp_path, study=study, mapping=Mapping()) as source:
        assert source.counts([()])[()] == 3
