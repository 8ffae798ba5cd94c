"""Expressions that leave out records without a code, and rows of a unit above its bound.

Which rows of a unit stay is decided by SHA-256 over the site's key, the row's codes and the
unit: the same in every query under one key, and in whatever order the file holds them. Rows of
a unit that are equal in all that is measured are interchangeable, so a tie changes nothing.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import ibis

from client.source.encoding import Column, Fates, encoded, is_readable, plain_text
from client.source.row_bound import RowBound
from client.source.spelling import spellings
from protocol.errors import UsageError
from protocol.study.variables import Ordinal

Rows: TypeAlias = Any  # an ibis table expression, one row per record

UNIT = "unit"  # the name of the unit's column beside the codes, "v0", "v1", ...


VISIT = "visit"  # and of its visit, in a longitudinal study


def check_unit(records: Rows, bound: RowBound) -> None:
    """Check that the columns of unit and visit are there and can name one.

    Raises:
        UsageError: one is not, or cannot.
    """
    for kind, name in (("unit", bound.unit_column), ("visit", bound.visit_column)):
        if name is None:
            continue
        if name not in records.columns:
            raise UsageError(
                f"{kind}-column-missing",
                f"Expected the column that [data] names as {kind}_column, found none of that name.",
                f"Correct {kind}_column in [data].",
            )
        if not is_readable(records[name]):
            raise UsageError(
                f"{kind}-column-type",
                f"Expected a {kind}_column of text or numbers, found another type.",
                "Convert the column in the file, or name another one in [data].",
            )


def with_unit(records: Rows, columns: Sequence[Column], bound: RowBound) -> Rows:
    """Return `columns` of `records`, and unit and visit of each row where they are named."""
    beside = []
    if bound.unit_column is not None:
        beside.append(plain_text(records[bound.unit_column]).name(UNIT))
    if bound.visit_column is not None:
        beside.append(visit_of(records[bound.visit_column], bound.visits or 0).name(VISIT))
    return records.select(*columns, *beside)


def visit_of(column: Column, visits: int) -> Column:
    """Return the visit 0 .. visits - 1 that a value names as text or number, else NULL."""
    numbered = Ordinal(kind="ordinal", levels=tuple(map(str, range(visits))))
    code = encoded(column, numbered, spellings(numbered, {}), Fates(None, None))
    return code.cast("int16")


def lacks_code(rows: Rows, codes: Sequence[str]) -> Column:
    """Return whether a row lacks a code in one of the columns `codes`."""
    return ibis.or_(*(rows[name].isnull() for name in codes))


def complete(rows: Rows, codes: Sequence[str], bound: RowBound) -> Rows:
    """Return the rows of `with_unit` with all codes, a unit, and one of the study's visits."""
    coded = rows.filter(~lacks_code(rows, codes))
    whose = _whose(bound)
    return coded.filter([coded[name].notnull() for name in whose]) if whose else coded


def bounded(rows: Rows, codes: Sequence[str], bound: RowBound) -> Rows:
    """Return the rows of `with_unit` that count: complete, and within their unit's bound.

    The columns are those of `rows`, without the unit where no visit needs it.
    """
    named, whose = complete(rows, codes, bound), _whose(bound)
    if not whose:
        return named
    finer = [name for name in rows.columns if name not in (*codes, UNIT, VISIT)]
    hashed = _keyed_hash(named, [*codes, *finer], bound.key)
    rank = ibis.row_number().over(group_by=whose, order_by=hashed)
    ranked = named.mutate(rank=rank)  # from 0
    left = whose if bound.visit_column is not None else []
    return ranked.filter(ranked["rank"] < bound.max_rows).select(*codes, *finer, *left)


def _whose(bound: RowBound) -> list[str]:
    """Return the columns that say whose row it is; none where each unit has one row."""
    if bound.unit_column is None:
        return []
    return [UNIT] if bound.visit_column is None else [UNIT, VISIT]


def _keyed_hash(rows: Rows, integers: Sequence[str], key: bytes) -> Column:
    """Return the first 60 bits of SHA-256("<key in hex>:<integer>,<integer>,...:<unit>").

    The integers are all that is measured of the row, "" where a number is missing. The key has
    one length and integers hold neither comma nor colon, so no two (integers, unit) share a text.
    No hash is published, so there is nothing that length extension could forge. 60 bits take a
    fifth of the memory of 256, and no unit has so many rows that two would collide.
    """
    texts = [rows[name].cast("string").fill_null("") for name in integers]
    content = ibis.literal(",").join(texts)
    hashed = ibis.literal(f"{key.hex()}:").concat(content, ":", rows[UNIT]).hexdigest("sha256")
    return ibis.literal("0x").concat(hashed.substr(0, 15)).cast("int64")
