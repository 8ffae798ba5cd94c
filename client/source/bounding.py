"""Expressions that leave out records without a code, and rows of a unit above its bound.

Which rows of a unit stay is decided by SHA-256 over the site's key, the row's codes and the
unit: the same in every query under one key, and in whatever order the file holds them. Rows of
a unit with equal codes are interchangeable, so a tie changes no count.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import ibis

from client.source.encoding import Column, is_readable, plain_text
from client.source.row_bound import RowBound
from protocol.errors import UsageError

Rows: TypeAlias = Any  # an ibis table expression, one row per record

UNIT = "unit"  # the name of the unit's column beside the codes, "v0", "v1", ...


def check_unit(records: Rows, bound: RowBound) -> None:
    """Check that the column of the unit is there and can name one.

    Raises:
        UsageError: it is not, or cannot.
    """
    name = bound.unit_column
    if name is not None and name not in records.columns:
        raise UsageError(
            "unit-column-missing",
            "Expected the column that [data] names as unit_column, found none of that name.",
            "Correct unit_column in [data].",
        )
    if name is not None and not is_readable(records[name]):
        raise UsageError(
            "unit-column-type",
            "Expected a unit_column of text or numbers, found another type.",
            "Convert the column in the file, or name another one in [data].",
        )


def with_unit(records: Rows, codes: Sequence[Column], bound: RowBound) -> Rows:
    """Return the columns `codes` of `records`, and the unit of each row where one is named.

    Codes are below 4096; 16 bits each halve what a query over all of them holds in memory.
    """
    narrow = [code.cast("int16").name(code.get_name()) for code in codes]
    if bound.unit_column is None:
        return records.select(*narrow)
    return records.select(*narrow, plain_text(records[bound.unit_column]).name(UNIT))


def lacks_code(rows: Rows, codes: Sequence[str]) -> Column:
    """Return whether a row lacks a code in one of the columns `codes`."""
    return ibis.or_(*(rows[name].isnull() for name in codes))


def bounded(rows: Rows, codes: Sequence[str], bound: RowBound) -> Rows:
    """Return the rows of `with_unit` that count: with all codes, and within their unit's bound.

    A row without a unit does not count.
    """
    complete = rows.filter(~lacks_code(rows, codes))
    if bound.unit_column is None:
        return complete
    named = complete.filter(complete[UNIT].notnull())
    rank = ibis.row_number().over(group_by=UNIT, order_by=_keyed_hash(named, codes, bound.key))
    ranked = named.mutate(rank=rank)  # from 0
    return ranked.filter(ranked["rank"] < bound.max_rows).select(*codes)


def _keyed_hash(rows: Rows, codes: Sequence[str], key: bytes) -> Column:
    """Return the first 60 bits of SHA-256("<key in hex>:<code>,<code>,...:<unit>").

    The key has one length and codes hold neither comma nor colon, so no two (codes, unit) share
    a text. No hash is published, so there is nothing that length extension could forge. 60 bits
    take a fifth of the memory of 256, and no unit has so many rows that two would collide.
    """
    content = ibis.literal(",").join([rows[name].cast("string") for name in codes])
    hashed = ibis.literal(f"{key.hex()}:").concat(content, ":", rows[UNIT]).hexdigest("sha256")
    return ibis.literal("0x").concat(hashed.substr(0, 15)).cast("int64")
