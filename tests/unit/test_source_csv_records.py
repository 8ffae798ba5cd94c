"""CSV files: what is in them never decides how they are read."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from client.source import csv_records, file_records
from client.source.csv_records import header, record_count
from client.source.duckdb_source import DuckDBSource
from client.source.site_table import Mapping, SiteData
from protocol.errors import ConcauseError, StorageError, UsageError
from tests.support.tables_source import single_study
from tests.support.tables_study import KEY

SECRET = "canary-of-a-patient"
STUDY = single_study('kind = "categorical"\nlevels = ["a", "b"]\nother = true\nmissing = true')


def counts(content: str | bytes, folder: Path, **settings: object) -> list[int]:
    """Return the counts of a, b, OTHER and MISSING in the column `x` of a CSV file."""
    file = folder / "x.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    unit = {} if "one_row_per_unit" in settings else {"unit_column": "id"}
    data = SiteData.model_validate({"path": str(file), **unit, **settings})
    with DuckDBSource(data, Mapping(), STUDY, bound_key=KEY, folder=folder / "spill") as source:
        return [int(count) for count in source.counts([("x",)])[("x",)]]


QUOTED = [f'{number},"{"ab"[number % 3 > 0]}"\n' for number in range(100)]
PLAIN = [f"{number},{'ab'[number % 2]}\n" for number in range(100)]
ONE_QUOTED = [*PLAIN[:90], '90,"a"\n', *PLAIN[91:]]
ODD = [
    *['999,"a\n', '"999,a\n', '999,a"\n', '999,"a""\n', '"999,"a"\n', '999, "a\n'],
    *["999;9,a\n", "'999,a\n", "#999,a\n", "#\n", "999\t9,a\n", "9|9,a|b\n", "999\n"],
    *["999,a,b\n", "999,a,\n", "\n\n", "  \n", "\r", "999,a\r", "999,a\r\n", '999,"a\\"b"\n'],
    *["999,\0a\n", "999,é\n", '999,"a\nb"\n', "999," + "a" * 100_000 + "\n"],
]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(
    ("rows", "found"), [(QUOTED, [34, 66, 0, 0]), (ONE_QUOTED, [50, 50, 0, 0])]
)
def test_one_odd_record_is_refused_or_changes_the_counts_by_no_other(
    rows: list[str], found: list[int], odd: str, tmp_path: Path
) -> None:
    for place in (10, len(rows)):
        more = [*rows[:place], odd, *rows[place:]]
        with suppress(UsageError):
            changed = counts("id,x\n" + "".join(more), tmp_path)
            assert np.abs(np.array(changed) - found).sum() <= 1


@pytest.mark.parametrize("place", [1, 50, 100])
@pytest.mark.parametrize("odd", ['999,"a\n', "999,a,b\n", "999\n", '999,a"b"\n', '999,"a" \n'])
def test_a_malformed_record_is_refused_wherever_it_is(odd: str, place: int, tmp_path: Path) -> None:
    rows = [*PLAIN[:place], odd.replace("a", SECRET), *PLAIN[place:]]
    with pytest.raises(UsageError) as refused:
        counts("id,x\n" + "".join(rows), tmp_path)
    assert refused.value.code == "data-not-readable"
    assert SECRET not in str(refused.value)


def test_the_records_choose_no_delimiter(tmp_path: Path) -> None:
    rows = "".join(f"{number};a;b,a\n" for number in range(50))
    assert counts("id,x\n" + rows, tmp_path) == [50, 0, 0, 0]


@pytest.mark.parametrize("delimiter", [";", "\t", "|", "'", "\\"])
def test_another_delimiter_is_read_where_the_site_names_it(delimiter: str, tmp_path: Path) -> None:
    content = "id,x\n1,a\n2,b\n".replace(",", delimiter)
    assert counts(content, tmp_path, delimiter=delimiter) == [1, 1, 0, 0]


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "\r", "\0", "é"])
def test_what_can_be_no_delimiter_is_refused(delimiter: str) -> None:
    with pytest.raises(ValidationError):
        SiteData(path="-", delimiter=delimiter)


def test_the_delimiter_is_part_of_what_is_approved() -> None:
    assert SiteData(path="-", delimiter=";").model_dump(mode="json")["delimiter"] == ";"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("id,x\n", [0, 0, 0, 0]),
        ("id,x", [0, 0, 0, 0]),
        ("id,x\r\n1,a\r\n2,b\r\n", [1, 1, 0, 0]),
        ("id,x\n1,a\n2,b", [1, 1, 0, 0]),
        ("\ufeffid,x\n1,a\n", [1, 0, 0, 0]),
        ('\ufeff"id","x"\n"1","a"\n', [1, 0, 0, 0]),
        ('id,x\n1,"a,b\nc""d"\n2,"a"\n', [1, 0, 1, 0]),
        ('id,x\r\n1,"a\r\nb\r"\r\n2,"a"\r\n', [1, 0, 1, 0]),
        ('id,x\n1,\n2,""\n', [0, 0, 0, 2]),
        (",id, x \n0,1,a\n1,2,a\n", [2, 0, 0, 0]),
        ("id,x\n\n1,a\n\n2,b\n\n", [1, 1, 0, 0]),
        ('id,x,"it\'s"\n1,a,b\n', [1, 0, 0, 0]),
    ],
)
def test_what_rfc_4180_allows_is_read(content: str, found: list[int], tmp_path: Path) -> None:
    assert counts(content, tmp_path) == found


def test_blank_lines_are_missing_values_where_there_is_one_column(tmp_path: Path) -> None:
    assert counts("x\na\n\nb\n", tmp_path, one_row_per_unit=True) == [1, 1, 0, 1]


@pytest.mark.parametrize(
    "content",
    [
        *["", "\n", "\nid,x\n1,a\n", '"id,x\n1,a\n', 'id,"x\ny"\n1,a\n', 'i"d,x\n1,a\n'],
        *["id,x\r1,a\r", "id,x\n1,a\r2,b\n", b"id,\xe9\n1,a\n", b"id,x,y\n1,a,\xe9\n"],
        *[b"id,x\n1,a\xc3", "id,x\n1,a\n".encode("utf-16")],
    ],
)
def test_what_is_no_csv_is_refused(content: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        counts(content, tmp_path)
    assert refused.value.code == "data-not-readable"


@pytest.mark.parametrize("names", ["id,x,x", "id,x,X", "id,x, id ", "id,x,,column2"])
def test_a_name_twice_in_the_header_is_refused(names: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        counts(f"{names}\n1,a,b\n", tmp_path)
    assert refused.value.code == "data-header-repeats"


def test_an_engine_that_sees_other_records_than_we_do_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_records, "record_count", lambda *_, **__: 3)
    with pytest.raises(UsageError) as refused:
        counts("id,x\n1,a\n2,a\n", tmp_path)
    assert refused.value.code == "data-not-readable"


@pytest.mark.parametrize("read", [header, lambda *of: record_count(*of, blank_too=False)])
def test_a_file_that_is_gone_is_a_storage_error(
    read: Callable[[Path, str], object], tmp_path: Path
) -> None:
    with pytest.raises(StorageError):
        read(tmp_path / "gone.csv", ",")


@pytest.mark.parametrize("size", range(1, 12))
def test_the_size_of_a_chunk_changes_nothing(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_records, "_CHUNK_BYTES", size)
    content = 'id,x\r\n1,"a,""é\r\nb"""\r\n\r\n2,""\r\n3,a'
    assert counts(content, tmp_path) == [1, 0, 1, 1]
    for wrong in ('1,"a" \n', '1,"a', '1,a"b"\n', "1,a\rb\n"):
        with pytest.raises(ConcauseError):
            counts("id,x\n" + wrong, tmp_path)
