"""The contribution bound: how many rows of one unit may count, and who says so.

The bound is enforced in the query, by a keyed hash order that no one outside the site can
predict; a site may attest one row per unit instead where the study's bound is 1.
"""

from dataclasses import dataclass, field

from client.source.site_table import SiteData
from protocol.errors import UsageError
from protocol.study.sections import Time
from protocol.study.study import Study

MIN_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class RowBound:
    """At most `max_rows` rows per value of `unit_column`; in a longitudinal study, per visit.

    Without a `unit_column` every row is a unit of its own, on the site's word. `key` is the
    site's secret; it never changes which units count, only which of a unit's rows. With
    `visits`, `visit_column` holds the visit of a row, 0 .. visits - 1.
    """

    unit_column: str | None
    max_rows: int
    key: bytes = field(repr=False)
    visit_column: str | None = None
    visits: int | None = None


def row_bound(data: SiteData, study: Study, key: bytes) -> RowBound:
    """Return the bound that the site's settings and the study agree on.

    Raises:
        UsageError: the units are neither named nor attested, or both, or attested under a bound
            above 1; the visits of a longitudinal study are not named; or the key is too short.
    """
    if len(key) < MIN_KEY_BYTES:
        raise UsageError(
            "bound-key-too-short",
            f"Expected a row bound key of at least {MIN_KEY_BYTES} bytes, found a shorter one.",
            "Make the site's keys again.",
        )
    if study.time is not None:
        return _visit_bound(data, study.time, key)
    bound = study.unit.max_rows_per_unit
    if data.one_row_per_unit:
        _check_attestation(data, bound)
    elif data.unit_column is None:
        raise UsageError(
            "unit-column-needed",
            f"Expected the column that names the {study.unit.name} of a row, found none.",
            "Write unit_column in [data]"
            + (", or one_row_per_unit = true if that is certain." if bound == 1 else "."),
        )
    return RowBound(data.unit_column, bound, key)


def _visit_bound(data: SiteData, time: Time, key: bytes) -> RowBound:
    """Return the bound of a longitudinal study: one row per unit and visit."""
    if data.unit_column is None or data.visit_column is None or data.one_row_per_unit:
        raise UsageError(
            "visit-columns-needed",
            f"Expected unit_column and visit_column for a study of {time.visits} visits, found "
            "one of them missing, or one_row_per_unit = true.",
            "Write both in [data], without one_row_per_unit; visits are numbered 0, 1, 2, ...",
        )
    return RowBound(data.unit_column, 1, key, data.visit_column, time.visits)


def _check_attestation(data: SiteData, bound: int) -> None:
    if data.unit_column is not None:
        raise UsageError(
            "unit-column-and-attestation",
            "Expected unit_column or one_row_per_unit = true in [data], found both.",
            "Keep unit_column alone: then the query enforces the bound.",
        )
    if bound != 1:
        raise UsageError(
            "attestation-not-enough",
            f"Expected unit_column for a study with max_rows_per_unit = {bound}, "
            "found one_row_per_unit = true alone.",
            "Write unit_column in [data].",
        )
