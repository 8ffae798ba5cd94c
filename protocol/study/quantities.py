"""The scalar types of a study: exact decimals, names and labels, each with one canonical text.

Binary floating point never enters a study, so that no two machines can read one number as two.
"""

import re
import unicodedata
from decimal import Decimal
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator

from protocol.study.problems import Problem, StudyProblems, quote

MAX_MAGNITUDE = 10**15
MAX_DECIMAL_PLACES = 18
MAX_EXPONENT = 15
MAX_NAME_CHARACTERS = 64
MAX_LABEL_CHARACTERS = 100
MAX_TEXT_CHARACTERS = 10_000
MAX_CANONICAL_INTEGER = 2**53 - 1

OTHER = "OTHER"
MISSING = "MISSING"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,63}")
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_DECIMAL = re.compile(r"-?\d{1,16}(\.\d{1,18})?")


def decimal_text(value: Decimal) -> str:
    """Return the one text of a number: no exponent, no trailing zeros, no sign on zero."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def exact(value: object) -> Decimal:
    """Return `value` as an exact number: an int, a Decimal, or the text that was made of one.

    Raises:
        StudyProblems: something else, not finite, too large, or too finely divided.
    """
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = Decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise _refusal("a number", value, "a number such as 2.5, without quotes")
    number = Decimal(value)
    if not number.is_finite() or abs(number) > MAX_MAGNITUDE:
        raise _refusal("a finite number up to 10^15", value, "a smaller number")
    exponent = int(number.as_tuple().exponent)  # looked at before any text is made of it
    if not -MAX_DECIMAL_PLACES <= exponent <= MAX_EXPONENT:
        raise _refusal(f"at most {MAX_DECIMAL_PLACES} decimal places", value, "fewer digits")
    return number


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise _refusal(
            f"a name of letters, digits, _ and . (first a letter; at most {MAX_NAME_CHARACTERS})",
            value,
            repr(re.sub(r"[^A-Za-z0-9_.]", "_", value)[:MAX_NAME_CHARACTERS] or "x"),
        )
    return value


def _slug(value: str) -> str:
    if not _SLUG.fullmatch(value):
        raise _refusal(
            f"a short name of a-z, 0-9 and - (at most {MAX_NAME_CHARACTERS})",
            value,
            repr(re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")[:64] or "my-study"),
        )
    return value


def _label(value: str) -> str:
    if not value or value != value.strip() or len(value) > MAX_LABEL_CHARACTERS:
        raise _refusal(
            f"a label of 1 to {MAX_LABEL_CHARACTERS} characters without spaces at its ends",
            value,
            repr(value.strip()[:MAX_LABEL_CHARACTERS] or "unknown"),
        )
    if any(unicodedata.category(character).startswith("C") for character in value):
        raise _refusal("a label of printable characters", value, "it without control characters")
    if not unicodedata.is_normalized("NFC", value):
        raise _refusal("a label in Unicode form NFC", value, unicodedata.normalize("NFC", value))
    if value in (OTHER, MISSING):
        raise _refusal(
            "a level of the study's own", value, f"{value.lower()} = true beside the levels"
        )
    return value


def _text(value: str) -> str:
    if len(value) > MAX_TEXT_CHARACTERS:
        raise _refusal(f"at most {MAX_TEXT_CHARACTERS} characters", value, "a shorter text")
    return value


def _filled(value: str) -> str:
    if not value.strip():
        raise _refusal("a text that is not empty", value, "a few words")
    return _text(value)


def _refusal(expected: str, found: object, remedy: str) -> StudyProblems:
    return StudyProblems([Problem((), expected, quote(found), remedy)])


Exact: TypeAlias = Annotated[Decimal, BeforeValidator(exact)]
VariableName: TypeAlias = Annotated[str, AfterValidator(_name)]


def _key_text(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise _refusal("a public key of 64 lower-case hex digits", text, "what `site init` printed")
    return text


Slug: TypeAlias = Annotated[str, AfterValidator(_slug)]
Label: TypeAlias = Annotated[str, AfterValidator(_label)]
Text: TypeAlias = Annotated[str, AfterValidator(_text)]
FilledText: TypeAlias = Annotated[str, AfterValidator(_filled)]
KeyText: TypeAlias = Annotated[str, AfterValidator(_key_text)]
