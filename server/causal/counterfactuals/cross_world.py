"""Shares of persons by what they are and what they would have been: with bounds, always.

"Of those who were not treated and died, how many would have lived, had they been treated?" Data
do not tell: the estimate takes one coupling of the noise (`couplings.py`), the bounds hold for all
of them (`bounds.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UsageError
from server.causal.answers.asked import asked_event, shown_levels
from server.causal.answers.effects import Estimate, summarise
from server.causal.answers.simulation import DRAW_ROWS, POINT_ROWS, seed_of
from server.causal.counterfactuals.bounds import (
    Bounds,
    Sharpness,
    enveloped,
    transported_bounds,
)
from server.causal.counterfactuals.counterfactual import (
    RUNG,
    check_question,
    couplings_of,
    sentences_of,
    shown_interventions,
)
from server.causal.counterfactuals.couplings import Coupling
from server.causal.counterfactuals.units import Persons, carried
from server.causal.model import Model
from server.causal.sampling.drawing import draw as draw_rows
from server.causal.sampling.nodes import Rows
from server.causal.worlds.interventions import Intervention
from server.causal.worlds.naming import check_node
from server.causal.worlds.world import World

DRAWS = 40  # parameter draws by which shares and bounds vary
_ROWS_A_DRAW = 4 * DRAW_ROWS
_CLOSE = 5e-4

Codes = Mapping[str, frozenset[int]]
_HOW: Mapping[Sharpness, str] = {
    "identified": "the data alone tell",
    "sharp": "sharp: no narrower ones hold",
    "outer": "outer: by transport along the graph, and perhaps wider than need be",
    "envelope": "an envelope: by the shares in each world alone",
}


@dataclass(frozen=True, slots=True)
class CrossWorld:
    """P(outcome would have been as asked | persons as given), with its bounds.

    `estimate`, `low` and `high` take the couplings named; `lower` and `upper` hold whatever the
    coupling, with the limits of confidence `lower_low` and `upper_high`.
    """

    outcome: str
    event: str
    interventions: str
    given: str
    estimate: float
    low: float
    high: float
    level: float
    monte_carlo_error: float
    lower: float
    upper: float
    lower_low: float
    upper_high: float
    sharpness: Sharpness
    coupling: Mapping[str, Coupling]
    rests_on: tuple[str, ...]
    rung: str = RUNG

    @property
    def text(self) -> str:
        """Return the answer in words, the bounds first."""
        among = f" among persons with {self.given}" if self.given else ""
        asked = f"P({self.outcome} would be {self.event}, had {self.interventions} been){among}"
        between = f"{asked}: between {self.lower:.3f} and {self.upper:.3f} ({_HOW[self.sharpness]})"
        if self.sharpness == "identified":
            return between
        how = ", ".join(dict.fromkeys(it for it in self.coupling.values() if it != "computed"))
        edge = "".join(
            f", which is the {side} bound: the coupling decides it, not the data"
            for side, bound in (("lower", self.lower), ("upper", self.upper))
            if abs(self.estimate - bound) < _CLOSE + 2 * self.monte_carlo_error
        )
        return f"{between}; {self.estimate:.3f} by {how}{edge}."

    def to_json(self) -> dict[str, object]:
        """Return the answer as a JSON object."""
        found: dict[str, object] = {name: getattr(self, name) for name in self.__slots__}
        return found | {
            "coupling": dict(self.coupling),
            "rests_on": list(self.rests_on),
            "text": self.text,
        }


def cross_world(
    model: Model,
    outcome: str,
    event: object,
    interventions: Mapping[str, Intervention],
    given: Mapping[str, object] | None = None,
    level: float = 0.95,
) -> CrossWorld:
    """Return the share of persons whose outcome would have been a level, or any of several.

    `given` are levels that the persons have, by node, or several levels of a node: of anything,
    the treatment and the outcome among them. Bounds are by transport along the graph where all
    that matters has tables and there are not too many states, else an envelope.

    Raises:
        UsageError: as `counterfactual`; an unknown node or level; or nobody has what is given.
    """
    check_question(model, interventions)
    check_node(model.study, outcome)
    asked = {outcome: codes_of_levels(model, outcome, event)}
    for node in given or {}:
        check_node(model.study, node)
    evidence = {node: codes_of_levels(model, node, it) for node, it in (given or {}).items()}
    view = model.do(interventions)
    factual, other = model.world, view.world
    draws = min(DRAWS, model.draws)
    simulated = _simulated(factual, other, evidence, asked, draws)
    found = transported_bounds(factual, other, evidence, asked, draws)
    bounds = _bounds(simulated, factual, other, evidence) if found is None else found
    estimate = _estimate(simulated, level)
    sides = [summarise(side, level, (0.0, 1.0)) for side in (bounds.lower, bounds.upper)]
    if bounds.sharpness == "identified":
        exact = 0.0 if found is not None else estimate.monte_carlo_error
        estimate = replace(sides[0], monte_carlo_error=exact)
    coupling = couplings_of(factual, other)
    return CrossWorld(
        outcome=outcome,
        event=shown_levels(event),
        interventions=shown_interventions(view, interventions),
        given=", ".join(f"{node} = {shown_levels(it)}" for node, it in (given or {}).items()),
        estimate=estimate.estimate,
        low=estimate.low,
        high=estimate.high,
        level=level,
        monte_carlo_error=estimate.monte_carlo_error,
        lower=sides[0].estimate,
        upper=sides[1].estimate,
        lower_low=sides[0].low,
        upper_high=sides[1].high,
        sharpness=bounds.sharpness,
        coupling=coupling,
        rests_on=sentences_of(coupling),
    )


def codes_of_levels(model: Model, node: str, event: object) -> frozenset[int]:
    """Return the codes of a level, or of several.

    Raises:
        UsageError: no such level.
    """
    scores = asked_event(model.study, node, event).scores[0, 0]
    return frozenset(int(code) for code in np.flatnonzero(scores == 1.0))


@dataclass(frozen=True, slots=True)
class _Simulated:
    """Shares of simulated persons, by the estimate and by every draw: shape (1 + draws,)."""

    both: NDArray[np.float64]  # of those with the evidence, the share with the event by coupling
    seen: NDArray[np.float64]  # share with the evidence, of those with what no world changes
    would: NDArray[np.float64]  # of the same persons, share with the event in the other world
    count: int  # persons of the estimate with the evidence


def _simulated(
    factual: World, other: World, evidence: Codes, event: Codes, draws: int
) -> _Simulated:
    after = other.up_to(list(event))
    needed = factual.up_to([*evidence, *after.nodes])
    seed, shared = seed_of(factual.study), other.shared_with(factual)
    same = {node: it for node, it in evidence.items() if other.place[node] in shared}
    found: list[tuple[float, float, float]] = []
    count = 0
    for number in (None, *range(draws)):
        persons = Persons(seed, 0, POINT_ROWS if number is None else _ROWS_A_DRAW)
        rows = draw_rows(needed.compiled(number), seed, 0, persons.count)
        moved = carried(needed, after, rows, persons, number)
        seen = _as_asked(rows, needed, evidence, persons.count)
        would = _as_asked(moved, after, event, persons.count)
        among = _as_asked(rows, needed, same, persons.count)
        if number is None:
            count = int(seen.sum())
            _check_anybody(count, evidence)
        share = float(would[seen].mean()) if seen.any() else np.nan
        margins = [float(it[among].mean()) if among.any() else np.nan for it in (seen, would)]
        found.append((share, margins[0], margins[1]))
    both, seen_, would_ = np.array(found).T
    return _Simulated(both, seen_, would_, count)


def _as_asked(rows: Rows, world: World, asked: Codes, count: int) -> NDArray[np.bool_]:
    found = np.ones(count, dtype=np.bool_)
    for node, codes in asked.items():
        found &= np.isin(rows.codes[world.place[node]], list(codes))
    return found


def _check_anybody(count: int, evidence: Codes) -> None:
    if count == 0:
        raise UsageError(
            "no-such-persons",
            f"Expected persons with the levels given of {', '.join(evidence)}, found none among "
            f"{POINT_ROWS:,} simulated ones.",
            "Give less, or levels that are not so rare together.",
        )


def _estimate(simulated: _Simulated, level: float) -> Estimate:
    share = float(simulated.both[0])
    error = float(np.sqrt(share * (1 - share) / simulated.count))
    return summarise(simulated.both, level, (0.0, 1.0), error)


def _bounds(simulated: _Simulated, factual: World, other: World, evidence: Codes) -> Bounds:
    """Return an envelope; the share itself where nothing that is coupled is given."""
    coupled = {node for node, how in couplings_of(factual, other).items() if how != "computed"}
    if coupled.isdisjoint(evidence):
        return Bounds(simulated.both, simulated.both, "identified")
    seen: Any = np.where(simulated.seen > 0, simulated.seen, np.nan)
    lower, upper = enveloped(seen, simulated.would)
    return Bounds(lower, upper, "envelope")
