"""Agents: functions in Python files that say what a node is set to.

The file is known by its hash, which goes wherever the function's results go, and the function has
to be pure: one row's result depends on that row alone. That cannot be proved; it is tried on
made-up rows, whole, in parts, backwards and twice, with arrays that cannot be written to.
"""

import hashlib
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.study.expression_arrays import Column, Levels
from protocol.study.families import visit_of
from protocol.study.problems import nearest, quote
from protocol.study.quantities import MISSING
from protocol.study.study import Study
from protocol.study.time import NOW, base_name
from protocol.study.variables import Categorical, Count, Numeric, Ordinal, Variable
from server.causal.worlds.interventions import Agent
from server.causal.worlds.policies import node_read, shown_variable
from server.causal.worlds.settings import Law

_PROBED_ROWS = 64
Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class AgentFunction:
    """A Python function as a function of columns."""

    name: str  # for messages
    function: Callable[..., Any]
    labels: tuple[str, ...] | None  # of the node that it sets, if it is a level

    def __call__(self, columns: Mapping[str, Column], rows: int) -> Column:
        """Return what the function says.

        Raises:
            UsageError: it fails, or does not return one value of the node's domain a row.
        """
        arguments = {name: _read_only(column) for name, column in columns.items()}
        try:
            found = np.asarray(self.function(**arguments))
        except Exception as error:
            raise self._failed(f"{type(error).__name__}: {error}") from error
        if found.shape != (rows,):
            raise self._failed(f"an array of shape {found.shape} for {rows} persons")
        if self.labels is None:
            return self._numbers(found)
        return self._levels(found, self.labels)

    def _numbers(self, found: Array) -> Column:
        if found.dtype.kind not in "biuf":
            raise self._failed(f"values of type {found.dtype}, not numbers or booleans")
        return found.astype(np.float64)

    def _levels(self, found: Array, labels: tuple[str, ...]) -> Column:
        texts = found.astype(str)
        codes = np.full(len(texts), -1)
        for code, label in enumerate(labels):
            codes[texts == label] = code
        unknown = texts[(codes < 0) & (texts != MISSING)]
        if len(unknown):
            raise self._failed(f"the level {quote(str(unknown[0]))}, not {nearest('', labels)}")
        return Levels(codes, labels)

    def _failed(self, found: str) -> UsageError:
        return UsageError(
            "agent-failed",
            f"Expected one value per person from {self.name}, found {found}.",
            "Mend the function: it takes whole columns as arrays and returns one.",
        )


def agent_law(study: Study, node: str, given: Agent) -> Law:
    """Return the law of an agent, after trying whether it is pure.

    Raises:
        UsageError: no such file or function, another file than was asked for, arguments that are
            no variables, or a function that fails or is not pure.
    """
    text = _text(given.path)
    digest = hashlib.sha256(text).hexdigest()
    if given.sha256 not in (None, digest):
        raise UsageError(
            "other-agent",
            f"Expected {given.path} with SHA-256 {given.sha256}, found {digest}.",
            "Use the file that was used before.",
        )
    function = _function(given, digest)
    reads = _reads(study, node, given, function)
    variable = study.variable(node)
    levels = isinstance(variable, Categorical | Ordinal)
    labels = tuple(variable.labels[: variable.missing_code]) if levels else None
    law = Law(
        AgentFunction(f"{given.function} in {given.path.name}", function, labels),
        reads,
        {"kind": "agent", "function": given.function, "sha256": digest, "reads": dict(reads)},
        str(given.path.resolve()),
    )
    _try(study, law)
    return law


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            "file-not-found",
            f"Expected a Python file at {path}, found none that can be read.",
            "Check the path; it is relative to the present folder.",
        ) from error


def _function(given: Agent, digest: str) -> Callable[..., Any]:
    found = getattr(_module(given.path, digest), given.function, None)
    if not callable(found):
        raise UsageError(
            "no-function",
            f"Expected a function {given.function!r} in {given.path}, found none.",
            "Name one that is defined at the top of the file.",
        )
    return found  # type: ignore[no-any-return]


def _module(path: Path, digest: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"concause_agent_{digest[:16]}", path)
    if spec is None or spec.loader is None:
        raise UsageError("not-python", f"Expected a .py file, found {path}.", "Rename it.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # somebody's file
        raise UsageError(
            "agent-failed",
            f"Expected {path} to load, found {type(error).__name__}: {error}.",
            "Mend the file; python FILE shows where.",
        ) from error
    return module


def _reads(
    study: Study, node: str, given: Agent, function: Callable[..., Any]
) -> Mapping[str, str]:
    """Return the nodes that stand for a function's arguments."""
    named = dict(given.reads or {})
    arguments = tuple(inspect.signature(function).parameters)
    strangers = [name for name in named if name not in arguments]
    if strangers:
        raise UsageError(
            "unknown-argument",
            f"Expected arguments of {given.function!r} in reads, found {strangers[0]!r}.",
            f"Write {nearest(strangers[0], arguments)}.",
        )
    found = {}
    for name in arguments:
        asked = named.get(name, name)
        at_visit = visit_of(node) is not None and asked not in study.causal_graph.nodes
        if at_visit and asked == base_name(asked) and asked in study.variables:
            asked += NOW
        found[name] = node_read(study, node, asked)
    return found


def _read_only(column: Column) -> Array:
    """Return a column as a function sees it: numbers, or labels as text."""
    if isinstance(column, Levels):
        shown = np.array([*column.labels, MISSING])[column.codes]
    else:
        shown = column.view()
    shown.setflags(write=False)
    return shown


def _try(study: Study, law: Law) -> None:
    """Ask for made-up rows in several ways.

    Raises:
        UsageError: the answers differ.
    """
    generator = default_rng(0)
    columns = {
        name: _made_up(shown_variable(study, node), generator) for name, node in law.reads.items()
    }
    whole = law.function(columns, _PROBED_ROWS)
    rows = np.arange(_PROBED_ROWS)
    third = _PROBED_ROWS // 3
    for chosen in (rows, rows[::-1], rows[:third], rows[third:], rows[:1]):
        part = {name: _taken(column, chosen) for name, column in columns.items()}
        if not _same(law.function(part, len(chosen)), _taken(whole, chosen)):
            raise UsageError(
                "agent-not-pure",
                f"Expected the same answer for the same person, found another from "
                f"{law.document['function']!r} when other persons were asked for, or again.",
                "Let it depend on the row alone: no random numbers, no means or ranks over rows.",
            )


def _made_up(variable: Variable, generator: Generator) -> Column:
    """Return values all over a variable's domain, MISSING included where it is declared."""
    absent = generator.random(_PROBED_ROWS) < (0.2 if variable.missing else 0.0)
    if isinstance(variable, Categorical | Ordinal):
        labels = variable.labels[: variable.missing_code]
        codes = generator.integers(len(labels), size=_PROBED_ROWS)
        return Levels(np.where(absent, -1, codes), tuple(labels))
    if isinstance(variable, Numeric | Count):
        low, high = (float(Decimal(variable.edges[end])) for end in (0, -1))
        values = generator.uniform(low, high, _PROBED_ROWS)
        values = np.floor(values) if isinstance(variable, Count) else values
    else:
        values = generator.integers(2, size=_PROBED_ROWS).astype(np.float64)
    return np.where(absent, np.nan, values)


def _taken(column: Column, rows: NDArray[np.intp]) -> Column:
    if isinstance(column, Levels):
        return Levels(column.codes[rows].copy(), column.labels)
    return column[rows].copy()


def _same(one: Column, other: Column) -> bool:
    if isinstance(one, Levels) and isinstance(other, Levels):
        return np.array_equal(one.codes, other.codes)
    return np.array_equal(np.asarray(one), np.asarray(other), equal_nan=True)
