"""Rows of persons carried over to another world: abduction, intervention, prediction.

Pearl 2009, 7.1: the noise of each person is inferred from what was seen (`couplings.py`), node by
node, and the nodes that the interventions change are computed anew with it. A person whose causes
of a node are the same in both worlds has the same value of it.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.study.study import Study
from protocol.study.variables import Categorical, Ordinal
from server.causal.counterfactuals.couplings import (
    Coupling,
    at_place,
    moved_by_gumbel,
    place_of,
    residual_of,
    response_place,
    within_bin,
)
from server.causal.sampling.bins import placed
from server.causal.sampling.drawing import Given, draw
from server.causal.sampling.laws import linear_of, shares_of
from server.causal.sampling.nodes import (
    RegressionNode,
    Rows,
    SurvivalNode,
    TableNode,
    WorldNode,
)
from server.causal.sampling.noise import fractions
from server.causal.sampling.responses import quantile
from server.causal.sampling.tables import Codes
from server.causal.worlds.part import Part
from server.causal.worlds.world import World

ABDUCTED = "/abducted"
Reals: TypeAlias = NDArray[Any]  # float64


@dataclass(frozen=True, slots=True)
class Persons:
    """Which persons: their noise that nothing else tells is that of a seed and of rows."""

    seed: int
    start: int
    count: int

    def free(self, label: str) -> Reals:
        """Return fractions of these persons, shape (rows,)."""
        return fractions(self.seed, label + ABDUCTED, self.start, self.count)


def carried(
    factual: World, other: World, known: Rows, persons: Persons, number: int | None = None
) -> Rows:
    """Return the rows of the other world of persons who are `known` in the factual one.

    `known` holds the factual parts at their places, of those that the other world depends on.
    Parameters are the point estimate, or draw `number`.

    Raises:
        UsageError: a policy has no result for some person.
    """
    return _Carrying(factual, other, known, persons, number).rows()


def coupling_of(study: Study, part: Part, node: WorldNode) -> Coupling:
    """Return how the noise of a part is carried over."""
    has_law = part.setting is not None or part.table is not None
    if has_law or not isinstance(node, TableNode | RegressionNode | SurvivalNode):
        return "computed"
    if isinstance(node, RegressionNode):
        return "exact" if node.response == "gaussian" else "inverse CDF"
    return "Gumbel-max" if _is_nominal(study, part.node) else "inverse CDF"


def _is_nominal(study: Study, node: str) -> bool:
    variable = study.variable(node)
    return isinstance(variable, Categorical) or (
        isinstance(variable, Ordinal) and variable.has_other
    )


class _Carrying:
    """Two worlds, the persons as they are known, and the rows of the other world so far."""

    def __init__(
        self, factual: World, other: World, known: Rows, persons: Persons, number: int | None
    ) -> None:
        self._factual, self._other, self._known, self._persons = factual, other, known, persons
        self._before, self._after = factual.compiled(number), other.compiled(number)
        self._shared = other.shared_with(factual)
        shape = (len(other.parts), persons.count)
        self._values: dict[int, Reals] = {}
        self._ends: dict[int, Reals] = {}
        self._rows = Rows(np.zeros(shape, dtype=np.int16), self._values, self._ends)

    def rows(self) -> Rows:
        for at, part in enumerate(self._other.parts):
            if at in self._shared:
                self._set(at, *self._seen(self._shared[at]))
            elif coupling_of(self._other.study, part, self._after[at]) == "computed":
                self._compute(at)
            else:
                self._carry(at, part)
        return self._rows

    def _seen(self, place: int) -> tuple[Codes, Reals | None, Reals | None]:
        known = self._known
        return known.codes[place], known.values.get(place), known.ends.get(place)

    def _set(
        self, at: int, codes: Codes, values: Reals | None = None, ends: Reals | None = None
    ) -> None:
        self._rows.codes[at] = codes
        if values is not None:
            self._values[at] = values
        if ends is not None:
            self._ends[at] = ends

    def _compute(self, at: int) -> None:
        """Draw a part that no noise of a person enters, or noise of its own."""
        given = Given(self._rows, {place: place for place in range(at)})
        persons = self._persons
        drawn = draw(self._after[: at + 1], persons.seed, persons.start, persons.count, given=given)
        self._set(at, drawn.codes[at], drawn.values.get(at), drawn.ends.get(at))

    def _carry(self, at: int, part: Part) -> None:
        place = self._factual.place[part.node]
        before, after = self._before[place], self._after[at]
        codes, values, ends = self._seen(place)
        match before, after:
            case TableNode(), TableNode():
                found = self._from_table(before, after, place, part)
            case RegressionNode(), RegressionNode():
                found = self._from_regression(before, after, place, part)
            case SurvivalNode(), SurvivalNode():
                found = self._from_times(before, after, place, part)
            case _:
                raise AssertionError(f"{part.name!r} is carried by nothing")
        same = self._same_causes(at, place)
        moved, numbers = found
        self._set(at, np.where(same, codes, moved))
        if numbers is not None and values is not None:
            self._values[at] = np.where(same & ~np.isnan(values), values, numbers)
        if ends is not None and isinstance(after, SurvivalNode):
            self._ends[at] = np.full(len(ends), after.edges[-1])

    def _same_causes(self, at: int, place: int) -> NDArray[np.bool_]:
        same = np.ones(self._persons.count, dtype=np.bool_)
        pairs = zip(self._factual.parts[place].parents, self._other.parts[at].parents, strict=True)
        for one, other in pairs:
            mine, theirs = self._factual.place[one], self._other.place[other]
            same &= self._known.codes[mine] == self._rows.codes[theirs]
            if mine in self._known.values:
                apart = self._known.values[mine] != self._rows.values[theirs]
                known = ~np.isnan(self._known.values[mine])
                same &= ~(apart & known)
        return same

    def _from_table(
        self, before: TableNode, after: TableNode, place: int, part: Part
    ) -> tuple[Codes, Reals | None]:
        codes = self._known.codes[place].astype(np.intp)
        shares = shares_of(before.table, self._known.codes)
        others = shares_of(after.table, self._rows.codes)
        if _is_nominal(self._other.study, part.node):
            labels = (f"{part.node}/{level}" for level in range(shares.shape[1] + 1))
            free = [self._persons.free(label) for label in labels]
            return moved_by_gumbel(shares, codes, others, free), None
        free_one = self._persons.free(part.node)
        if before.bins is None:
            return at_place(others, place_of(shares, codes, free_one))[0], None
        values = self._known.values[place]
        within = within_bin(before.bins, codes, values, free_one)
        moved, inside = at_place(others, place_of(shares, codes, within))
        assert after.bins is not None  # noqa: S101 - of the same variable
        return moved, placed(after.bins, moved, inside)

    def _from_regression(
        self, before: RegressionNode, after: RegressionNode, place: int, part: Part
    ) -> tuple[Codes, Reals | None]:
        free = self._persons.free(part.node)
        known = self._known
        values = known.values.get(place, known.codes[place].astype(np.float64))
        predictor, scale = linear_of(before, known)
        other, other_scale = linear_of(after, self._rows)
        low, high = before.bounds
        if before.response == "gaussian":
            moved = other + other_scale * residual_of(values, predictor, scale, (low, high), free)
        else:
            at = response_place(before.response, values, predictor, scale, high, free)
            moved = quantile(before.response, other, other_scale, at, high)
        moved = np.clip(moved, low, high)
        if after.bins is None:
            return moved.astype(np.int16), None
        return after.bins.codes_of(moved), moved

    def _from_times(
        self, before: SurvivalNode, after: SurvivalNode, place: int, part: Part
    ) -> tuple[Codes, Reals | None]:
        """Carry the time of the event over; of those censored before it, some later time."""
        codes, free = self._known.codes[place].astype(np.intp), self._persons.free(part.node)
        times, ends = self._known.values[place], self._known.ends[place]
        edges, last = before.edges, len(before.edges) - 1
        shares = shares_of(before.event, self._known.codes)
        seen = codes < last
        at = np.where(seen, times, ends)
        interval = np.clip(np.searchsorted(edges, at, side="right") - 1, 0, last - 1)
        width = edges[interval + 1] - edges[interval]
        within = np.clip((at - edges[interval]) / width, 0.0, 1.0)
        reached = place_of(shares, interval, within)
        survived = np.isnan(times) & ~seen  # up to the end of observation, and no more is known
        later = np.where(survived, reached + free * (1 - reached), place_of(shares, codes, free))
        moved, inside = at_place(
            shares_of(after.event, self._rows.codes), np.where(seen, reached, later)
        )
        start = np.minimum(moved, last - 1)
        time = edges[start] + inside * (edges[start + 1] - edges[start])
        return moved, np.where(moved < last, time, np.inf)
