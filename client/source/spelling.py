"""How a value may be written in a site's column, and which code each spelling means.

A column spells a label by its text, or, where both read as numbers, by an equal number: 1.0 in
a column of floats is the level "1"; "true" and "false" are 1 and 0. The site's own value map
is read before the labels.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from client.source.site_table import CENSORED, EVENT
from protocol.study.variables import Boolean, Count, Numeric, Variable

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_BOOLEAN_WORDS = {"false": 0, "False": 0, "FALSE": 0, "true": 1, "True": 1, "TRUE": 1}


@dataclass(frozen=True, slots=True)
class Spellings:
    """The codes of one variable's spellings; for equal ones the site's own comes first."""

    by_text: Mapping[str, int]
    by_number: Mapping[float, int]


def spellings(variable: Variable, values: Mapping[str, str]) -> Spellings:
    """Return how `variable` may be spelled, with the site's `values` (spelling to label).

    Numbers and counts are binned, not spelled: of these only `values` and "MISSING" are.
    """
    codes = {label: code for code, label in enumerate(variable.labels)}
    return _spellings(values, codes, _own_spellings(variable, codes))


def event_spellings(values: Mapping[str, str]) -> Spellings:
    """Return how "event", code 1, and "censored", code 0, may be spelled in a column of events.

    By these words, as a boolean, or by the site's `values` (spelling to word).
    """
    codes = {CENSORED: 0, EVENT: 1}
    return _spellings(values, codes, {**codes, "0": 0, "1": 1, **_BOOLEAN_WORDS})


def _spellings(
    values: Mapping[str, str], codes: Mapping[str, int], own: Mapping[str, int]
) -> Spellings:
    by_text = {text: codes[label] for text, label in values.items()}
    for label, code in own.items():
        by_text.setdefault(label, code)
    by_number: dict[float, int] = {}
    for text, code in by_text.items():
        number = number_of(text)
        if number is not None:
            by_number.setdefault(number, code)
    for word, number in (("false", 0.0), ("true", 1.0)):
        same = by_text.get(word, by_number.get(number))
        if same is not None:
            by_text.setdefault(word, same)
            by_number.setdefault(number, same)
    return Spellings(by_text, by_number)


def number_of(text: str) -> float | None:
    """Return the finite number that `text` reads as, or None."""
    number = float(text) if _NUMBER.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None


def _own_spellings(variable: Variable, codes: Mapping[str, int]) -> Mapping[str, int]:
    match variable:
        case Numeric() | Count():
            return {variable.labels[code]: code for code in _codes(variable.missing_code)}
        case Boolean():
            return {**codes, **_BOOLEAN_WORDS}
        case _:
            return codes


def _codes(code: int | None) -> tuple[int, ...]:
    return () if code is None else (code,)
