"""Cells of a family's table that cannot be: structural zeros, declared by levels of its columns.

An entry {a = "x", v = "y"} in the mechanism of v says that v is never y where a is x, whatever
the other parents are. In a longitudinal study the names are columns, and tell which of the
variable's mechanisms is meant: {"v[t-1]" = 1, "v[t]" = 0}.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.study.families import Family
from protocol.study.mechanisms import Cells, Mechanism
from protocol.study.problems import Path, Problem, either, nearest, quote
from protocol.study.structure import Structure
from protocol.study.time import base_name
from protocol.study.variables import Variable, model_labels

MAX_CELLS = 2**20  # of all columns together that entries of one mechanism name

Codes: TypeAlias = Mapping[str, int]  # of an entry: the code of each column that it names


def entry_codes(cells: Cells, variables: Mapping[str, Variable]) -> dict[str, int]:
    """Return an entry by codes; precondition: `impossible_problems` has nothing against it."""
    return {name: variables[base_name(name)].code_of(level) for name, level in cells.items()}


def in_labels(mechanism: Mechanism, variables: Mapping[str, Variable]) -> Mechanism:
    """Return the mechanism with its entries in one order, and levels by their labels.

    Precondition: `impossible_problems` has nothing against it.
    """
    ordered = sorted(
        (entry_codes(cells, variables) for cells in mechanism.impossible),
        key=lambda codes: sorted(codes.items()),
    )
    labelled = tuple(
        {name: variables[base_name(name)].labels[code] for name, code in sorted(codes.items())}
        for codes in ordered
    )
    return mechanism.model_copy(update={"impossible": labelled})


def possible_cells(
    columns: Sequence[str], sizes: Sequence[int], entries: Sequence[Codes]
) -> NDArray[np.bool_]:
    """Return which cells of a table over `columns`, shape `sizes`, no entry names."""
    possible = np.ones(tuple(sizes), np.bool_)
    for codes in entries:
        possible[tuple(codes.get(column, slice(None)) for column in columns)] = False
    return possible


def impossible_problems(structure: Structure, hidden: frozenset[str]) -> Iterator[Problem]:
    """Yield entries that name no cell of their family, or leave a row without any level."""
    families: dict[str, list[Family]] = {}
    for family in structure.families():
        families.setdefault(base_name(family.node), []).append(family)
    for name, mechanism in structure.mechanisms.items():
        where: Path = ("mechanisms", name, "impossible")
        readable: list[Cells] = []
        for position, cells in enumerate(mechanism.impossible):
            problems = list(_Entry(structure, hidden, tuple(families[name]), cells).problems())
            for problem in problems:
                yield Problem((*where, position), problem.expected, problem.found, problem.remedy)
            readable += [] if problems else [cells]
        for family in families[name]:
            entries = [
                entry_codes(cells, structure.variables)
                for cells in readable
                if family.node in cells
            ]
            for problem in _table_problems(structure, hidden, family, entries):
                yield Problem(where, problem.expected, problem.found, problem.remedy)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry, with the families of the variable whose mechanism it is in."""

    structure: Structure
    hidden: frozenset[str]
    families: tuple[Family, ...]
    cells: Cells

    def problems(self) -> Iterator[Problem]:
        nodes = [family.node for family in self.families]
        named = [family for family in self.families if family.node in self.cells]
        if not named:
            found = ", ".join(map(repr, self.cells)) or "nothing"
            yield Problem((), f"a level of {either(nodes)}", found, f'"{nodes[-1]}" = "LEVEL" too')
            return
        columns = named[0].clique
        for column, level in self.cells.items():
            if column not in columns:
                expected = f"{named[0].node!r} and its causes"
                yield Problem((), expected, quote(column), nearest(column, columns))
                continue
            labels = _labels(self.structure, self.hidden, column)
            try:
                known = self.structure.variable(column).code_of(level) < len(labels)
            except UsageError:
                known = False
            if not known:
                expected = f"a level that {column!r} has in the model"
                yield Problem((), expected, quote(level), nearest(str(level), labels))


def _table_problems(
    structure: Structure, hidden: frozenset[str], family: Family, entries: Sequence[Codes]
) -> Iterator[Problem]:
    """Yield entries that repeat each other, and rows in which every level is impossible."""
    if len({tuple(sorted(codes.items())) for codes in entries}) < len(entries):
        yield Problem((), "each impossible cell once", "one twice", "it once")
    named = {column for codes in entries for column in codes}
    columns = [column for column in family.clique if column in named]
    sizes = [len(_labels(structure, hidden, column)) for column in columns]
    if prod(sizes) > MAX_CELLS:
        expected = f"entries over columns with at most {MAX_CELLS} cells together"
        yield Problem((), expected, str(prod(sizes)), "fewer columns in them")
        return
    possible = possible_cells(columns, sizes, entries)
    if entries and not possible.any(axis=-1).all():
        expected = f"a possible level of {family.node!r} whatever its causes are"
        yield Problem((), expected, "none for some levels of them", "fewer impossible cells")


def _labels(structure: Structure, hidden: frozenset[str], column: str) -> tuple[str, ...]:
    return model_labels(structure.variable(column), hidden=base_name(column) in hidden)
