"""What a site's files may look like, and how others are refused."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from client.source.site_table import Mapping
from protocol.errors import ConcauseError, StorageError, UsageError
from protocol.study.document import parse_study
from tests.support.tables_records import Records, records
from tests.support.tables_source import GOOD, counts_of, open_file, open_records, single_study
from tests.support.tables_study import STUDY

SECRET = "canary-of-a-patient"
BOOLEAN = 'kind = "boolean"'


def test_a_pattern_of_files_is_one_table(tmp_path: Path) -> None:
    GOOD.reordered([0, 1]).write_parquet(tmp_path / "a.parquet")
    GOOD.reordered([2, 3]).write_parquet(tmp_path / "b.parquet")
    with open_file(tmp_path / "*.parquet", folder=tmp_path / "spill") as source:
        assert source.counts([()])[()] == 3


def test_units_with_a_record_that_counts_are_counted_once(tmp_path: Path) -> None:
    table = records(
        x=("int64", [1, 0, None, 1, 0, None]),
        patient=("string", ["a", "a", "b", None, "c", "c"]),
    )
    for rows in (1, 2):
        study = single_study(BOOLEAN, rows=rows)
        with open_records(table, tmp_path, study=study, mapping=Mapping()) as source:
            assert source.units() == 2  # b has no value, and one row has no patient
    study = single_study(BOOLEAN)
    with open_records(table, tmp_path, study=study, mapping=Mapping(), unit=None) as source:
        assert source.units() == 4


def test_columns_of_csv_files_are_found_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("patient,x\n1,1\n")
    (tmp_path / "b.csv").write_text("x,patient\n0,2\n0,3\n")
    study, mapping = single_study(BOOLEAN), Mapping()
    with open_file(
        tmp_path / "*.csv", study=study, mapping=mapping, folder=tmp_path / "spill"
    ) as source:
        assert source.counts([("x",)])[("x",)].tolist() == [2, 1]


def test_a_csv_keeps_leading_zeros(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("patient,x\n1,01\n2,1\n")
    study = single_study('kind = "categorical"\nlevels = ["1", "01"]')
    with open_file(tmp_path / "a.csv", study=study, mapping=Mapping()) as source:
        assert source.counts([("x",)])[("x",)].tolist() == [1, 1]


def test_variables_and_columns_may_differ_in_case_alone(tmp_path: Path) -> None:
    text = STUDY.format(rows=1).replace("[variables.ward]", "[variables.Age]")
    study = parse_study(text.replace("ward -> grade", "Age -> grade").replace("> ward", "> Age"))
    table = Records({**GOOD.columns})
    mapping = Mapping.model_validate({"Age": {"column": "ward_name", "values": {"N": "north"}}})
    with open_records(table, tmp_path, study=study, mapping=mapping) as source:
        found = source.counts([("age", "Age")])[("age", "Age")]
    assert found.sum() == 3


def test_two_variables_may_be_read_from_one_column(tmp_path: Path) -> None:
    mapping = Mapping.model_validate({"ward": {"column": "grade", "values": {"1": "north"}}})
    with open_records(GOOD, tmp_path, mapping=mapping) as source:
        found = source.counts([("ward", "grade")])[("ward", "grade")]
    assert found[0].tolist() == [1, 0, 0]
    assert found[3].sum() == 2


def test_a_column_called_like_our_own_names_does_no_harm(tmp_path: Path) -> None:
    names = ("unit", "times", "rank", "v0", "index", "records")
    study = single_study(BOOLEAN, rows=2)
    for name in names:
        table = records(**{name: ("int64", [1, 0, 1]), "patient": ("int64", [1, 1, 1])})
        mapping = Mapping.model_validate({"x": {"column": name}})
        for unit in ("patient", name):
            with open_records(table, tmp_path, study=study, mapping=mapping, unit=unit) as source:
                assert source.counts([("x",), ()])[()] == (2 if unit == "patient" else 3)
        with open_records(
            table, tmp_path, study=single_study(BOOLEAN), mapping=mapping, unit=None
        ) as source:
            assert source.counts([("x",)])[("x",)].tolist() == [1, 2]


def test_a_column_of_many_values_is_counted_like_one_of_few(tmp_path: Path) -> None:
    variable = 'kind = "categorical"\nlevels = ["1", "2"]\nother = true'
    cells = [str(number % 500) for number in range(5000)]
    assert counts_of(cells, "string", variable, tmp_path) == [10, 10, 4980]


def test_a_missing_column_is_refused_by_the_name_of_the_variable(tmp_path: Path) -> None:
    mapping = Mapping.model_validate({"ward": {"column": SECRET}})
    source = open_records(GOOD, tmp_path, mapping=mapping)
    with source, pytest.raises(UsageError) as refused:
        source.counts([()])
    assert refused.value.code == "column-missing"
    assert "found none for ward." in refused.value.cause
    assert SECRET not in str(refused.value)


def not_a_parquet(folder: Path) -> Path:
    (folder / "x.parquet").write_text(SECRET)
    return folder / "x.parquet"


def empty_file(folder: Path) -> Path:
    (folder / "x.parquet").touch()
    return folder / "x.parquet"


def csv_as_parquet(folder: Path) -> Path:
    return GOOD.write_csv(folder / "x.csv").rename(folder / "x.parquet")


def parquet_as_csv(folder: Path) -> Path:
    return GOOD.write_parquet(folder / "x.parquet").rename(folder / "x.csv")


def ragged_csv(folder: Path) -> Path:
    (folder / "x.csv").write_text("patient,x\n" + "1,1\n" * 30_000 + f"1,1,{SECRET},2\n")
    return folder / "x.csv"


def latin_csv(folder: Path) -> Path:
    (folder / "x.csv").write_bytes("patient,x\n1,é\n".encode("latin-1"))
    return folder / "x.csv"


def damaged_parquet(folder: Path) -> Path:
    file = GOOD.write_parquet(folder / "x.parquet")
    content = file.read_bytes()
    file.write_bytes(content[:40] + bytes(120) + content[160:])
    return file


@pytest.mark.parametrize(
    "write",
    [
        *[not_a_parquet, empty_file, csv_as_parquet, parquet_as_csv],
        *[ragged_csv, latin_csv, damaged_parquet],
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    file = write(tmp_path)
    study, mapping = single_study(BOOLEAN), Mapping.model_validate({"x": {"column": "patient"}})
    with (
        pytest.raises(ConcauseError) as refused,
        open_file(file, study=study, mapping=mapping) as source,
    ):
        source.counts([("x",)])
    damaged = write is damaged_parquet  # its end, where the schema is, is whole
    assert refused.value.code == ("engine-failed" if damaged else "data-not-readable")
    assert SECRET not in str(refused.value)
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize(
    "other",
    [
        records(patient=("int64", [1]), x=("double", [0.5])),
        records(patient=("int64", [1])),
        records(patient=("int64", [1]), x=("int64", [1]), y=("int64", [1])),
    ],
)
def test_files_of_different_columns_are_refused(other: Records, tmp_path: Path) -> None:
    records(patient=("int64", [1]), x=("int64", [1])).write_parquet(tmp_path / "a.parquet")
    other.write_parquet(tmp_path / "b.parquet")
    with pytest.raises(UsageError) as refused:
        open_file(
            tmp_path / "*.parquet",
            study=single_study(BOOLEAN),
            mapping=Mapping(),
            folder=tmp_path / "spill",
        )
    assert refused.value.code == "data-files-differ"


def test_a_table_too_large_to_hold_is_refused(tmp_path: Path) -> None:
    levels = [f"l{number}" for number in range(4096)]
    domains = "".join(
        f"[variables.{name}]\nkind = 'categorical'\nlevels = {levels}\n" for name in "abc"
    )
    head, _, _ = STUDY.format(rows=1).partition("[variables.smoker]")
    study = parse_study(head + domains + "[graph]\nedges = []\n")
    with open_records(GOOD, tmp_path, study=study, mapping=Mapping()) as source:
        with pytest.raises(UsageError) as refused:
            source.counts([("a", "b", "c")])
        assert refused.value.code == "table-too-large"


def test_folders_named_like_partitions_are_no_columns(tmp_path: Path) -> None:
    (tmp_path / "x=1").mkdir()
    pq.write_table(pa.table({"patient": [1], "x": [0]}), tmp_path / "x=1" / "a.parquet")
    with open_file(
        tmp_path / "x=1" / "a.parquet", study=single_study(BOOLEAN), mapping=Mapping()
    ) as source:
        assert source.counts([("x",)])[("x",)].tolist() == [1, 0]


def test_a_closed_source_answers_nothing(tmp_path: Path) -> None:
    source = open_records(GOOD, tmp_path)
    source.close()
    source.close()
    with pytest.raises(StorageError):
        source.counts([()])
