"""Counterfactuals of persons: what each would have been, had something been set otherwise."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from protocol.errors import UsageError
from protocol.study.problems import listed
from protocol.study.time import base_name
from server.causal.counterfactuals.couplings import Coupling
from server.causal.counterfactuals.units import Persons, carried, coupling_of
from server.causal.model import Model, names_of
from server.causal.production.files import finished
from server.causal.sampling.drawing import draw as draw_rows
from server.causal.worlds.columns import EVENT, Shown, to_frame
from server.causal.worlds.identification import check_unconfounded
from server.causal.worlds.interventions import Intervention
from server.causal.worlds.reading import read_rows
from server.causal.worlds.world import World

METADATA = b"concause"
RUNG = "counterfactual"
RESTS_ON: Mapping[Coupling, str] = {
    "exact": "Noise is added to a linear mean, so that a residual stays with its person.",
    "inverse CDF": "Nobody changes places with another in the order of the levels or values.",
    "Gumbel-max": "Levels without an order are the largest of log probabilities with Gumbel noise.",
}
_GRAPH = "The graph: nothing unmeasured causes two of its variables."


@dataclass(frozen=True, eq=False)
class Counterfactuals:
    """Persons as they are and as they would have been, row by row.

    `coupling` says of every node that may differ how the noise of a person is carried over
    (`couplings.py`): beyond what data tell, but for "exact" and "computed".
    """

    factual: pd.DataFrame
    frame: pd.DataFrame
    interventions: str
    coupling: Mapping[str, Coupling]
    seed: int
    rung: str = RUNG

    @property
    def rests_on(self) -> tuple[str, ...]:
        """Return what has to hold for these rows, in sentences."""
        return sentences_of(self.coupling)

    def __repr__(self) -> str:
        return (
            f"<counterfactuals of {len(self.frame):,} persons under {self.interventions}: "
            f"{listed(self.coupling)} may differ>"
        )

    def document(self) -> dict[str, object]:
        """Return what a file of these rows says of itself."""
        return {
            "rung": self.rung,
            "do": self.interventions,
            "coupling": dict(self.coupling),
            "rests_on": list(self.rests_on),
            "bounds": "Of any share over these rows, concause.cross_world() gives the bounds that "
            "hold whatever the coupling.",
            "seed": self.seed,
        }

    def table(self) -> pa.Table:
        """Return the rows as Arrow, factual columns under NAME, the others under NAME_would.

        The metadata hold rung and coupling.
        """
        changed = self.frame[[name for name in self.frame if self._may_differ(str(name))]]
        both = pd.concat([self.factual, changed.add_suffix("_would")], axis=1)
        table = pa.Table.from_pandas(both, preserve_index=False)
        own = {METADATA: json.dumps(self.document()).encode()}
        return table.replace_schema_metadata({**(table.schema.metadata or {}), **own})

    def _may_differ(self, column: str) -> bool:
        return column.removesuffix(EVENT) in self.coupling or column in self.coupling

    def write(self, path: str | Path) -> None:
        """Write the rows to a Parquet file.

        Raises:
            UsageError: another ending.
            StorageError: the disk did not take it.
        """
        path = Path(path)
        if path.suffix != ".parquet":
            raise UsageError(
                "unknown-format",
                f"Expected a name that ends in .parquet, found {path.name!r}: no other format "
                "says of its rows that they are counterfactual.",
                "Change the ending.",
            )
        with finished(path) as unfinished:
            pq.write_table(self.table(), unfinished, compression="zstd")


def counterfactual(
    model: Model,
    rows: pd.DataFrame | int,
    interventions: Mapping[str, Intervention],
    *,
    seed: int = 1,
    draw: int | None = None,
) -> Counterfactuals:
    """Return what persons would have been under some interventions.

    `rows` are persons with columns as `Model.sample` has them, or a number of persons of the
    synthetic population of `seed`. Noise that nothing tells of is drawn by `seed`. Parameters are
    the point estimate, or draw number `draw`.

    Raises:
        UsageError: no interventions, a view of a model, a study with unmeasured causes, rows that
            do not fit the study, or what `Model.do` refuses.
    """
    check_question(model, interventions)
    view = model.do(interventions)
    factual, other = model.world, view.world
    if isinstance(rows, int):
        model.check_sample(rows, seed, 0, draw)
        known = draw_rows(factual.compiled(draw), seed, 0, rows)
        frame = to_frame(Shown(model.study, known, factual.place))
    else:
        model.check_sample(len(rows), seed, 0, draw)
        needed = _needed(factual, other)
        known, frame = read_rows(model.study, rows, factual.nodes, needed), rows
    persons = Persons(seed, 0, len(frame))
    moved = carried(factual, other, known, persons, draw)
    shown = to_frame(Shown(model.study, moved, other.place, tuple(view.interventions)))
    shown.index = frame.index
    coupling = couplings_of(factual, other)
    changed = {str(name): shown[name] for name in shown if _in(coupling, str(name))}
    names = [name for name in shown if name in frame or name in changed]
    found = frame.assign(**changed)[names]
    return Counterfactuals(frame, found, shown_interventions(view, interventions), coupling, seed)


def shown_interventions(view: Model, interventions: Mapping[str, Intervention]) -> str:
    """Return what a view sets, by the names that were given, for people."""
    parts = (f"{name} = {names_of(view, {name: given})}" for name, given in interventions.items())
    return ", ".join(parts)


def sentences_of(coupling: Mapping[str, Coupling]) -> tuple[str, ...]:
    """Return what has to hold for counterfactuals with these couplings, in sentences."""
    used = dict.fromkeys(coupling.values())
    return (_GRAPH, *(RESTS_ON[one] for one in used if one in RESTS_ON))


def _in(coupling: Mapping[str, Coupling], column: str) -> bool:
    return column in coupling or column.removesuffix(EVENT) in coupling


def check_question(model: Model, interventions: Mapping[str, Intervention]) -> None:
    """Check that a model can be asked what would have been.

    Raises:
        UsageError: a view, no interventions, or a study with unmeasured causes.
    """
    if model.interventions:
        raise UsageError(
            "intervened-model",
            "Expected the model as it was fitted, found one under an intervention.",
            "Give all interventions to counterfactual().",
        )
    if not interventions:
        raise UsageError(
            "no-intervention",
            "Expected something that is set, found nothing.",
            "Write what would have been otherwise, such as {'treated': 1}.",
        )
    check_unconfounded(
        model.study, "counterfactuals of persons", "Ask for an effect over the population."
    )


def couplings_of(factual: World, other: World) -> dict[str, Coupling]:
    """Return how the noise of each node that may differ is carried over."""
    shared = other.shared_with(factual)
    nodes = other.compiled(None)
    return {
        part.node: coupling_of(other.study, part, node)
        for at, (part, node) in enumerate(zip(other.parts, nodes, strict=True))
        if at not in shared and part.name == part.node
    }


def _needed(factual: World, other: World) -> set[str]:
    """Return the nodes that have to be known: those that change, and all causes of these.

    Of a node whose values may be hidden, all: whether they are shown depends on others.
    """
    shared = other.shared_with(factual)
    changed = [part for at, part in enumerate(other.parts) if at not in shared]
    if any(base_name(part.node) in factual.study.hidden for part in changed):
        return set(factual.nodes)
    found = {other.by_name[name].node for part in changed for name in part.parents}
    for part in changed:
        if part.setting is None:
            found |= {part.node, *factual.by_name[part.node].parents}
    return found
