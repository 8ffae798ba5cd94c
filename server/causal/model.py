"""The fitted causal model: sample from it, intervene on it, ask it for effects.

A model is immutable. `do` returns a view of the same mechanisms in which some nodes are set;
the worlds of one seed share their noise, so that rows of a factual and an intervened sample can
be compared one by one, and columns of nodes that are not descendants are the same bytes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import networkx as nx
import pandas as pd

from protocol.errors import StorageError, UsageError
from protocol.study.sections import Measure
from protocol.study.study import Study
from protocol.study.variables import Survival, Value
from server.causal.answers.answering import means_of, shares_of
from server.causal.answers.effects import Effect, Estimate, difference_of, hazard_ratio_of, mean_of
from server.causal.answers.scores import range_of
from server.causal.files import model_file
from server.causal.files.model_file import Provenance
from server.causal.mechanisms.mechanism import (
    WHOLE,
    Caution,
    Mechanism,
    Placement,
    TableMechanism,
    draws_of,
)
from server.causal.mechanisms.parameter_table import parameter_table
from server.causal.sampling.compilation import compile_world
from server.causal.sampling.frame import to_frame, to_long
from server.causal.sampling.noise import check_seed
from server.causal.sampling.sampler import Codes, compile_nodes, draw_codes
from server.causal.sampling.world import Rows, draw_world
from server.causal.synthetic.copies import plan_copies
from server.causal.worlds.intervention import Assignment, check_node, nodes_of, resolve
from server.causal.worlds.question_world import QuestionWorld

MODEL_FILE = "model.json"
BATCH_ROWS = 1 << 17


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A structural causal model with its uncertainty.

    `mechanisms` holds every node of the study's causal graph, `placements` where values of
    variables lie inside their bins (elsewhere evenly), `cautions` what the fit wants a reader to
    know, `interventions` the nodes that this view sets.
    """

    study: Study
    mechanisms: Mapping[str, Mechanism]
    provenance: Provenance
    placements: Mapping[str, Placement] = field(default_factory=lambda: MappingProxyType({}))
    cautions: tuple[Caution, ...] = ()
    interventions: Mapping[str, Assignment] = field(default_factory=lambda: MappingProxyType({}))

    def __repr__(self) -> str:
        graph, sites = self.study.causal_graph, self.provenance.contributors
        world = f", do({', '.join(self.interventions)})" if self.interventions else ""
        return (
            f"<concause model {self.study.name!r}: {len(graph.nodes)} variables, "
            f"{len(graph.edges())} arrows, {sites} sites{world}>"
        )

    @property
    def graph(self) -> "nx.DiGraph[str]":
        """Return the causal graph, without the arrows into nodes that this view sets."""
        graph = self.study.causal_graph.to_networkx()
        graph.remove_edges_from([edge for edge in graph.edges if edge[1] in self.interventions])
        return graph

    def do(self, assignments: Mapping[str, Value]) -> "Model":
        """Return the model in which nodes are set, each to a level, a boolean or a number.

        A node that is set already is set anew.

        Raises:
            UsageError: an unknown node, or a value outside its domain.
        """
        added = resolve(self.study, assignments)
        return replace(self, interventions=MappingProxyType({**self.interventions, **added}))

    @property
    def draws(self) -> int:
        """The number of parameter draws, the same for every mechanism."""
        counts = map(draws_of, self.mechanisms.values())
        return min((count for count in counts if count is not None), default=0)

    def codes(self, rows: int, seed: int, start: int = 0, draw: int | None = None) -> Codes:
        """Return codes of rows start .. start + rows - 1, shape (nodes, rows): the fast path.

        Nodes are in the order of `study.causal_graph.nodes`; codes index `study.model_labels`.
        Parameters are the point estimate, or draw number `draw`, from 0: one plausible set of all
        of them.

        Raises:
            UsageError: rows or start below 0, a seed outside 64 bits, or no such draw.
        """
        self._check_sample(rows, seed, start, draw)
        tables = {
            node: mechanism.table if draw is None else mechanism.parts[draw] / WHOLE
            for node, mechanism in self.mechanisms.items()
            if isinstance(mechanism, TableMechanism)
        }
        if len(tables) < len(self.mechanisms):
            return self._rows(rows, seed, start, draw).codes
        graph = self.study.causal_graph
        nodes = compile_nodes(graph.nodes, graph.parents, tables, self._fixed())
        return draw_codes(nodes, seed, start, rows)

    def sample(self, rows: int, seed: int, start: int = 0, draw: int | None = None) -> pd.DataFrame:
        """Return rows start .. start + rows - 1 of the synthetic population of `seed`.

        Row k is the same in every call. Parameters as in `codes`; column types: see
        `server/causal/sampling/frame.py`.

        Raises:
            UsageError: as `codes`.
        """
        self._check_sample(rows, seed, start, draw)
        drawn = self._rows(rows, seed, start, draw)
        return to_frame(self.study, drawn, start, tuple(self.interventions))

    def sample_long(
        self, rows: int, seed: int, start: int = 0, draw: int | None = None
    ) -> pd.DataFrame:
        """Return the units of `sample`, of a study with visits: one row per unit and visit.

        Raises:
            UsageError: as `codes`, the study has no visits, or a variable is called as a column
                of its own (`server/causal/sampling/frame.py`).
        """
        return to_long(self.study, self.sample(rows, seed, start, draw))

    def _rows(self, rows: int, seed: int, start: int, draw: int | None) -> Rows:
        world = compile_world(
            self.study, self.mechanisms, self.placements, self.interventions, draw
        )
        return draw_world(world, seed, start, rows)

    def _check_sample(self, rows: int, seed: int, start: int, draw: int | None) -> None:
        _check_rows(rows, start)
        check_seed(seed)
        self._check_draw(draw)

    def iter_batches(
        self,
        rows: int,
        seed: int,
        batch: int = BATCH_ROWS,
        start: int = 0,
        draw: int | None = None,
    ) -> Iterator[pd.DataFrame]:
        """Yield the rows of `sample(rows, seed, start, draw)` in frames of at most `batch` rows.

        Raises:
            UsageError: as `codes`, or a batch below 1.
        """
        _check_rows(rows, start)
        if batch < 1:
            raise _out_of_range("a batch of at least 1 row", batch)
        for at in range(start, start + rows, batch):
            yield self.sample(min(batch, start + rows - at), seed, at, draw)

    def sample_copies(
        self, copies: int, rows: int, seed: int, *, long: bool = False
    ) -> Iterator[pd.DataFrame]:
        """Yield several data sets, each from another parameter draw and a stream of its own.

        Each as `sample`, or if `long` as `sample_long`, gives it. What is computed from each is
        combined by `server/causal/synthetic/combining.py`.

        Raises:
            UsageError: as `codes` or `sample_long`, or more copies than draws.
        """
        drawn = self.sample_long if long else self.sample
        for copy in plan_copies(copies, seed=seed, draws=self.draws):
            yield drawn(rows, copy.seed, draw=copy.draw)

    def marginal(self, node: str) -> "pd.Series[float]":
        """Return P(node) in this world as a Series over the levels of `node`.

        Exact where the node depends on tables alone, else by simulation.

        Raises:
            UsageError: an unknown node.
        """
        check_node(self.study, node)
        index = pd.Index(self.study.model_labels(node), name=node)
        return pd.Series(shares_of(self._world, node), index=index, name="probability")

    def mean(self, outcome: str, level: float = 0.95, measure: Measure = "mean") -> Estimate:
        """Return the mean of a node in this world: over its scores, without MISSING and OTHER.

        Of a survival node: its risk by the last edge, or its restricted mean.

        Raises:
            UsageError: an unknown node, one without numbers, or a measure that does not fit.
        """
        check_node(self.study, outcome)
        _check_has_mean(measure)
        means = means_of([self._world], outcome, measure)
        return mean_of(means, level, range_of(self.study, outcome, measure))

    def effect(
        self,
        treatment: str,
        outcome: str,
        treated: Value = 1,
        reference: Value = 0,
        level: float = 0.95,
        measure: Measure = "mean",
    ) -> Effect:
        """Return the average effect of setting `treatment` on the mean of `outcome`.

        A treatment of a study with visits, named without one, is set at all of them. Exact for
        the fitted parameters where all that the outcome depends on has tables, else simulated
        with the same noise in both worlds; the interval is over the parameter draws. The mean of
        a time to an event is its risk.

        Raises:
            UsageError: an unknown node or level, an outcome without numbers, the treatment as
                its own outcome, a level of confidence outside (0, 1), or a measure that does not
                fit the outcome.
        """
        treated_nodes = nodes_of(self.study, treatment)
        check_node(self.study, outcome)
        if measure == "mean" and isinstance(self.study.variable(outcome), Survival):
            measure = "risk"  # the mean of whether the event came
        if outcome in treated_nodes:
            raise UsageError(
                "treatment-is-outcome",
                f"Expected two different variables, found {treatment!r} twice.",
                "Choose another outcome.",
            )
        models = [self.do({treatment: value}) for value in (treated, reference)]
        means = means_of([model._world for model in models], outcome, measure)  # noqa: SLF001 - views of this model
        if measure == "hazard-ratio":
            found = hazard_ratio_of(means, level)
        else:
            found = difference_of(means, level, range_of(self.study, outcome, measure))
        names = [model._name_of(treated_nodes[0]) for model in models]  # noqa: SLF001
        return Effect(
            treatment=treatment,
            outcome=outcome,
            treated=names[0],
            reference=names[1],
            measure=measure,
            **asdict(found),
        )

    def parameters(self, node: str, level: float = 0.95) -> pd.DataFrame:
        """Return the parameters of a mechanism with their intervals (`parameter_table.py`).

        Raises:
            UsageError: an unknown node, a rule, or a level outside (0, 1).
        """
        check_node(self.study, node)
        return parameter_table(self.study, self.mechanisms[node], level)

    def to_json(self) -> str:
        """Return the text of the model file (`server/causal/files/model_file.py`).

        Raises:
            UsageError: this is a view under an intervention.
        """
        if self.interventions:
            raise UsageError(
                "intervened-model",
                "Expected the model as it was fitted, found one under an intervention.",
                "Write the model itself; interventions are repeated after loading.",
            )
        contents = model_file.Contents(
            self.study, self.mechanisms, self.provenance, self.placements, self.cautions
        )
        return model_file.encode(contents)

    @staticmethod
    def from_json(text: str) -> "Model":
        """Return the model of a model file's text.

        Raises:
            UsageError: naming the place that is not as the format says.
        """
        return Model(**model_file.decode(text)._asdict())

    def _check_draw(self, draw: int | None) -> None:
        if draw is not None and not 0 <= draw < self.draws:
            raise UsageError(
                "draw-out-of-range",
                f"Expected a draw from 0 to {self.draws - 1}, found {draw}.",
                "Leave it out to sample from the point estimate.",
            )

    def _fixed(self) -> dict[str, int]:
        return {node: assignment.code for node, assignment in self.interventions.items()}

    @property
    def _world(self) -> QuestionWorld:
        return QuestionWorld(
            self.study, self.mechanisms, self.placements, self.interventions, self.draws
        )

    def _name_of(self, node: str) -> str:
        """Return what a node is set to, for people."""
        assignment = self.interventions[node]
        if assignment.value is None:
            return self.study.model_labels(node)[assignment.code]
        return f"{assignment.value:.15g}"


def load(path: str | Path) -> Model:
    """Return the model of a release folder, or of a model file.

    Raises:
        StorageError: there is no such file, or it cannot be read.
        UsageError: it is not a model file.
    """
    file = Path(path)
    file = file / MODEL_FILE if file.is_dir() else file
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(
            "model-unreadable",
            f"Expected a model file or a release folder at {path}, found none that can be read.",
            f"Give the folder of a release, or the path of its {MODEL_FILE}.",
        ) from error
    return Model.from_json(text)


def _check_has_mean(measure: Measure) -> None:
    if measure == "hazard-ratio":
        raise UsageError(
            "measure-does-not-fit",
            "Expected a measure of one world, found 'hazard-ratio', which compares two.",
            "Ask effect() for it, or mean() for 'risk'.",
        )


def _check_rows(rows: int, start: int) -> None:
    if rows < 0:
        raise _out_of_range("a number of rows from 0", rows)
    if start < 0:
        raise _out_of_range("a first row from 0", start)


def _out_of_range(expected: str, found: int) -> UsageError:
    return UsageError(
        "rows-out-of-range", f"Expected {expected}, found {found}.", "Rows are counted from 0."
    )
