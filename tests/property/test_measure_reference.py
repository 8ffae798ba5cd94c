"""The vector of a site is what the oracle computes from the words of the specification."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.measure.statistics import measure
from protocol.privacy.plan import compile_plan
from tests.support.reference_statistics import Record, reference_statistics
from tests.support.tables_mixed import as_table, mixed_study, open_mixed, tidy, visits_study
from tests.support.tables_study import UNIT

STUDIES = {"mixed": mixed_study(2), "attested": mixed_study(1), "visits": visits_study()}
PLANS = {name: compile_plan(study) for name, study in STUDIES.items()}


def vector(records: list[Record], name: str, suffix: str) -> list[int]:
    study = STUDIES[name]
    table = as_table(records, study)
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"records.{suffix}"
        (table.write_csv if suffix == "csv" else table.write_parquet)(file)
        with open_mixed(file, study, unit=None if name == "attested" else UNIT) as source:
            return [int(value) for value in measure(PLANS[name], study, source)]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("name", list(STUDIES))
@settings(derandomize=True, deadline=None, max_examples=8)
@given(data=st.data())
def test_every_block_is_what_the_oracle_computes(
    name: str, suffix: str, data: st.DataObject
) -> None:
    study = STUDIES[name]
    records = data.draw(tidy(study))
    expected = reference_statistics(PLANS[name], study, records)
    assert vector(records, name, suffix) == expected.tolist()
