"""What is wrong with a study, as values: where, what was expected, what was found, what to write.

Validators raise `StudyProblems`; `protocol/study/document.py` turns all of them, with line
numbers, into one UsageError. The text of a study is public, so findings may be quoted.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]  # from the top of the document: ("variables", "age")

_LONGEST_QUOTE = 60


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend; `where` is relative to the value whose validator found it."""

    where: Path
    expected: str
    found: str
    remedy: str


class StudyProblems(ValueError):  # noqa: N818 -- pydantic needs a ValueError; it never escapes
    """All problems that one validator found; pydantic carries it to `parse_study`."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        super().__init__("see problems")
        self.problems = tuple(problems)


def refuse_any(problems: Iterable[Problem]) -> None:
    """Raise StudyProblems unless there is no problem."""
    found = tuple(problems)
    if found:
        raise StudyProblems(found)


def quote(value: object) -> str:
    """Return `value` as a message shows it: text in quotes, booleans as in TOML, shortened."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 3] + "..."


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that `name` was probably meant to be, or the first few of them."""
    candidates = list(known)
    close = difflib.get_close_matches(name, candidates, n=1, cutoff=0.5)
    return repr(close[0]) if close else "one of " + listed(candidates)


def either(names: Sequence[str]) -> str:
    """Return "'a', 'b' or 'c'" for a message; precondition: there is one."""
    shown = [repr(name) for name in names]
    return " or ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]


def listed(names: Iterable[str], most: int = 8) -> str:
    """Return names as 'a', 'b', ... for a message, at most `most` of them."""
    shown = [repr(name) for name in names]
    return ", ".join(shown[:most]) + (", ..." if len(shown) > most else "")
