"""Strict reading of the model file: whatever is not as the format says is refused by its place."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UsageError

Object: TypeAlias = Mapping[str, Any]
Numbers: TypeAlias = NDArray[Any]  # float64 or int64, shape (rows, columns)

MOST_CHARACTERS = 2**30
_LONGEST_FOUND = 200


def parse(text: str) -> object:
    """Return the value of a JSON text without repeated fields, NaN and infinities."""
    if len(text) > MOST_CHARACTERS:
        refuse("the file", f"at most {MOST_CHARACTERS} characters", str(len(text)))
    try:
        return json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise refusal("the file", "JSON", "something else") from error


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        refuse("an object", "each field once", "one twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    refuse("a number", "a finite number", name)


def fields(value: object, names: Sequence[str], place: str, optional: Sequence[str] = ()) -> Object:
    """Return an object that has exactly the fields `names`, and perhaps those of `optional`."""
    if not isinstance(value, dict) or not set(names) <= set(value) <= {*names, *optional}:
        found = ", ".join(map(repr, value)) if isinstance(value, dict) else type(value).__name__
        refuse(place, "exactly the fields " + ", ".join(map(repr, names)), found)
    return value


def same(value: object, expected: object, place: str) -> None:
    """Refuse any other value than `expected`, of the same type."""
    if type(value) is not type(expected) or value != expected:
        refuse(place, repr(expected), repr(value))


def text_of(value: object, place: str) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str) or not value:
        refuse(place, "text", repr(value))
    return value


def list_of(value: object, place: str) -> list[Any]:
    """Return a list."""
    if not isinstance(value, list):
        refuse(place, "a list", type(value).__name__)
    return value


def array(value: object, shape: tuple[int, int], kind: type, place: str) -> Numbers:
    """Return a list of `kind` numbers per row as an array of `shape`; -1 rows are any number."""
    rows, columns = shape
    expected = f"lists of {columns} numbers"
    if not isinstance(value, list) or (rows >= 0 and len(value) != rows):
        refuse(place, expected, "another shape")
    for row in value:
        if not isinstance(row, list) or len(row) != columns:
            refuse(place, expected, "another shape")
        if set(map(type, row)) - {kind}:
            refuse(place, f"{kind.__name__} numbers", "other values")
    try:
        found = np.array(value, dtype=np.float64 if kind is float else np.int64)
    except OverflowError as error:
        raise refusal(place, "smaller numbers", "one beyond 64 bits") from error
    if not np.isfinite(found).all():
        refuse(place, "finite numbers", "an infinite one")
    return found.reshape(-1, columns)


def refuse(place: str, expected: str, found: str) -> NoReturn:
    """Raise the refusal of a place."""
    raise refusal(place, expected, found)


def refusal(place: str, expected: str, found: str) -> UsageError:
    """Return the refusal of a place."""
    shown = found if len(found) <= _LONGEST_FOUND else found[: _LONGEST_FOUND - 3] + "..."
    return UsageError(
        "model-invalid",
        f"The model file is not valid. {place}: expected {expected}, found {shown}.",
        "Fetch the release again; model files are not edited by hand.",
    )
