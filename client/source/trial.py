"""Records opened on trial, without a study: are the files what the settings say?"""

from contextlib import closing
from pathlib import Path

from client.source.bounding import check_unit
from client.source.engine import Engine, Limits
from client.source.records import SiteRecords, open_files
from client.source.row_bound import RowBound
from client.source.site_table import Mapping, SiteData
from client.source.spill import SPILL_FOLDER, SpillFolder
from protocol.errors import UsageError


def open_on_trial(data: SiteData, mapping: Mapping, files: tuple[Path, ...], folder: Path) -> None:
    """Open files, derive their columns, and look for those that the settings name.

    Raises:
        UsageError: a file is not of its format, or a column that the settings name is not there.
        StorageError: a file cannot be read.
    """
    spill = SpillFolder(folder / SPILL_FOLDER)
    try:
        with closing(Engine(spill.path, Limits(data.memory_limit, data.threads), files)) as engine:
            held = open_files(engine, data, mapping, files, None)
            records = SiteRecords(engine, held, data, mapping)
            check_unit(records.rows, RowBound(data.unit_column, 1, b"", data.visit_column))
            _check_columns(records, mapping)
            engine.one(records.rows.aggregate(rows=records.rows.count()))
    finally:
        spill.wipe()


def _check_columns(records: SiteRecords, mapping: Mapping) -> None:
    named = {column for each in mapping.root.values() for column in each.columns}
    if missing := sorted(named - set(records.rows.columns)):
        raise UsageError(
            "column-missing",
            f"Expected the columns that [mapping] names, found none named {', '.join(missing)}.",
            "Correct column, time or event in [mapping]; `concause site map STUDY` looks for them.",
        )
