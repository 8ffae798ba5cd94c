"""A first mapping, proposed from the names and types of columns and from how they spell levels.

For the eyes of the site alone, who corrects it: a likely name is not a meaning. Only what differs
from the study is proposed; what cannot be guessed is left open.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from protocol.study.study import Study
from protocol.study.variables import Boolean, Count, Numeric, Survival, Variable

LIKELY = 0.62  # of difflib's ratio, from which two names are taken for one
_YES = {"yes", "y", "ja", "j", "oui", "si", "sí", "true", "t", "1", "positive", "pos"}
_NO = {"no", "n", "nein", "non", "false", "f", "0", "negative", "neg"}
_ENDS = {"time": ("time", "days", "months", "duration"), "event": ("event", "status", "died")}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a site: its name, its type as the engine says, some of its values as text."""

    name: str
    type: str
    values: tuple[str, ...] = ()

    @property
    def is_number(self) -> bool:
        """Return whether it holds numbers."""
        return self.type.startswith(("int", "uint", "float", "decimal"))


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What may be written under [mapping]; `open` are variables without a likely column."""

    mapping: Mapping[str, Mapping[str, object]]
    open: tuple[str, ...] = field(default=())


def suggest(study: Study, columns: Sequence[Column], taken: Sequence[str] = ()) -> Suggestion:
    """Return a mapping of the study's variables; columns that are `taken` serve for nothing."""
    free = {column.name: column for column in columns if column.name not in taken}
    exact = [name for name in study.measured_variables if name in free]
    for name in exact:  # a column of a variable's own name is nobody else's
        free.pop(name)
    known = {column.name: column for column in columns}
    found: dict[str, Mapping[str, object]] = {}
    left: list[str] = []
    for name in study.measured_variables:
        variable = study.variables[name]
        if isinstance(variable, Survival):
            entry = _survival(name, free)
        else:
            column = known[name] if name in exact else _likely(name, variable, free)
            entry = None if column is None else _entry(name, variable, column)
            if column is not None:
                free.pop(column.name, None)
        if entry is None:
            left.append(name)
        elif entry:
            found[name] = entry
    return Suggestion(found, tuple(left))


def _likely(name: str, variable: Variable, free: Mapping[str, Column]) -> Column | None:
    number = isinstance(variable, Numeric | Count)
    scored = [
        (_alike(name, column.name), column)
        for column in free.values()
        if column.is_number or not number
    ]
    score, best = max(scored, key=lambda one: one[0], default=(0.0, None))
    return best if score >= LIKELY else None


def _entry(name: str, variable: Variable, column: Column) -> Mapping[str, object]:
    """Return what differs from a column that is named and spelled as in the study."""
    entry: dict[str, object] = {} if column.name == name else {"column": column.name}
    values = {} if isinstance(variable, Numeric | Count) else _spelled(variable, column.values)
    return entry | ({"values": values} if values else {})


def _spelled(variable: Variable, values: Sequence[str]) -> dict[str, str]:
    """Return the label of each value that is none, but can only mean one."""
    labels = {_plain(label): label for label in variable.labels}
    if isinstance(variable, Boolean):
        labels |= dict.fromkeys(_YES, "1") | dict.fromkeys(_NO, "0")
    known = set(variable.labels) | ({"true", "false"} if isinstance(variable, Boolean) else set())
    return {
        value: labels[_plain(value)]
        for value in values
        if value not in known and _plain(value) in labels
    }


def _survival(name: str, free: dict[str, Column]) -> Mapping[str, object] | None:
    """Return the two columns of a survival variable, if both are likely."""
    entry: dict[str, object] = {}
    for part, words in _ENDS.items():
        if f"{name}_{part}" in free:
            free.pop(f"{name}_{part}")
            continue
        wanted = [f"{name}_{word}" for word in words]
        scored = [(max(_alike(one, column) for one in wanted), column) for column in free]
        score, best = max(scored, default=(0.0, ""))
        if score < LIKELY:
            return None
        entry[part] = free.pop(best).name
    return entry


def _alike(one: str, other: str) -> float:
    """Return how alike two names are, 1 if they differ in case and signs only."""
    a, b = _plain(one), _plain(other)
    if not a or not b:
        return 0.0
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", other)  # PatientSex
    words = set(re.split(r"[^a-z0-9]+", parted.lower()))
    part = 0.9 if one.lower() in words else 0.0
    return max(part, difflib.SequenceMatcher(None, a, b).ratio())


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", text.casefold())
