"""The fitted causal model: sample from it, intervene on it, ask it for effects.

A model is immutable. `do` returns a view of the same mechanisms in which some nodes are set;
the worlds of one seed share their noise, so that rows of a factual and an intervened sample can
be compared one by one, and columns of nodes that are not descendants are the same bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import networkx as nx
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from protocol.errors import StorageError, UsageError
from protocol.study.study import Study
from protocol.study.variables import Value
from server.causal.answers import asking, curves
from server.causal.answers.answering import shares_of
from server.causal.answers.asked import shown_levels
from server.causal.answers.asking import Question
from server.causal.answers.effects import Effect, Estimate
from server.causal.answers.measures import Measure
from server.causal.answers.simulation import evaluated
from server.causal.files import model_file
from server.causal.files.model_file import Provenance
from server.causal.mechanisms.mechanism import Caution, Mechanism, Placement, draws_of
from server.causal.mechanisms.parameter_table import parameter_table
from server.causal.sampling.drawing import draw as draw_rows
from server.causal.sampling.engine import Engine
from server.causal.sampling.nodes import Rows, WorldNode
from server.causal.sampling.noise import check_seed
from server.causal.sampling.tables import Codes
from server.causal.synthetic.copies import plan_copies
from server.causal.worlds.assembly import assemble
from server.causal.worlds.columns import Shown, to_frame, to_long, to_table
from server.causal.worlds.identification import check_identified, graph_sentence
from server.causal.worlds.interventions import Intervention
from server.causal.worlds.naming import check_node, nodes_of
from server.causal.worlds.resolution import name_of, resolve
from server.causal.worlds.settings import Law, Setting
from server.causal.worlds.world import World

MODEL_FILE = "model.json"
BATCH_ROWS = 1 << 17
DEFAULT = Engine()

Given = Mapping[str, object]
NOBODY: Given = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Model:
    """A structural causal model with its uncertainty.

    `mechanisms` holds every node of the study's causal graph, `placements` where values of
    variables lie inside their bins (elsewhere evenly), `cautions` what the fit wants a reader to
    know, `interventions` what nodes of this view are set to.
    """

    study: Study
    mechanisms: Mapping[str, Mechanism]
    provenance: Provenance
    placements: Mapping[str, Placement] = field(default_factory=lambda: MappingProxyType({}))
    cautions: tuple[Caution, ...] = ()
    interventions: Mapping[str, Setting] = field(default_factory=lambda: MappingProxyType({}))

    def __repr__(self) -> str:
        graph, sites = self.study.causal_graph, self.provenance.contributors
        world = f", do({', '.join(self.interventions)})" if self.interventions else ""
        return (
            f"<concause model {self.study.name!r}: {len(graph.nodes)} variables, "
            f"{len(graph.edges())} arrows, {sites} sites{world}>"
        )

    @property
    def graph(self) -> "nx.DiGraph[str]":
        """Return the causal graph: into nodes that this view sets, arrows from what sets them."""
        return self.world.graph

    @cached_property
    def world(self) -> World:
        """The mechanisms with what is set."""
        settings = self.interventions
        return assemble(self.study, self.mechanisms, self.placements, settings, self.draws)

    def do(self, interventions: Mapping[str, Intervention]) -> "Model":
        """Return the model in which nodes are set, each to a level, a boolean or a number.

        Or as a policy says (`server/causal/worlds/interventions.py`). A node that is set already
        is set anew; a capacity is that of the population of this view.

        Raises:
            UsageError: an unknown node, a value outside its domain, or a policy that cannot be
                read, does not fit its node, or reads what the node causes.
        """
        added = resolve(self.study, interventions, self._scores)
        found = replace(self, interventions=MappingProxyType({**self.interventions, **added}))
        _ = found.world  # refuses what cannot be
        return found

    def _scores(self, law: Law) -> NDArray[np.float64]:
        check_identified(self.world, set(law.reads.values()))
        return evaluated(self.world, law)

    @cached_property
    def draws(self) -> int:
        """The number of parameter draws, the same for every mechanism."""
        counts = map(draws_of, self.mechanisms.values())
        return min((count for count in counts if count is not None), default=0)

    def codes(
        self,
        rows: int,
        seed: int,
        start: int = 0,
        draw: int | None = None,
        engine: Engine = DEFAULT,
    ) -> Codes:
        """Return codes of rows start .. start + rows - 1, shape (nodes, rows): the fast path.

        Nodes are in the order of `study.causal_graph.nodes`; codes index `study.model_labels`.
        Parameters are the point estimate, or draw number `draw`, from 0: one plausible set of all
        of them.

        Raises:
            UsageError: rows or start below 0, a seed outside 64 bits, no such draw, or a policy
                that has no result for somebody.
        """
        drawn = self._rows(rows, seed, start, draw, engine).codes
        if len(self.world.parts) == len(self.mechanisms) and self._in_order:
            return drawn
        return drawn[[self.world.place[node] for node in self.study.causal_graph.nodes]]

    @property
    def _in_order(self) -> bool:
        nodes = self.study.causal_graph.nodes
        return all(part.name == node for part, node in zip(self.world.parts, nodes, strict=True))

    def sample(
        self,
        rows: int,
        seed: int,
        start: int = 0,
        draw: int | None = None,
        engine: Engine = DEFAULT,
    ) -> pd.DataFrame:
        """Return rows start .. start + rows - 1 of the synthetic population of `seed`.

        Row k is the same in every call. Parameters as in `codes`; column types: see
        `server/causal/worlds/columns.py`.

        Raises:
            UsageError: as `codes`.
        """
        return to_frame(self._shown(rows, seed, start, draw, engine))

    def table(
        self,
        rows: int,
        seed: int,
        start: int = 0,
        draw: int | None = None,
        engine: Engine = DEFAULT,
    ) -> pa.Table:
        """Return the rows of `sample` as an Arrow table.

        Raises:
            UsageError: as `codes`.
        """
        return to_table(self._shown(rows, seed, start, draw, engine))

    def sample_long(
        self, rows: int, seed: int, start: int = 0, draw: int | None = None
    ) -> pd.DataFrame:
        """Return the units of `sample`, of a study with visits: one row per unit and visit.

        Raises:
            UsageError: as `codes`, the study has no visits, or a variable is called as a column
                of its own (`server/causal/worlds/columns.py`).
        """
        return to_long(self.study, self.sample(rows, seed, start, draw))

    def _shown(self, rows: int, seed: int, start: int, draw: int | None, engine: Engine) -> Shown:
        drawn = self._rows(rows, seed, start, draw, engine)
        return Shown(self.study, drawn, self.world.place, tuple(self.interventions), start)

    def _rows(self, rows: int, seed: int, start: int, draw: int | None, engine: Engine) -> Rows:
        self.check_sample(rows, seed, start, draw)
        return draw_rows(self._compiled(draw), seed, start, rows, engine)

    def _compiled(self, draw: int | None) -> tuple[WorldNode, ...]:
        """Return the world ready to be drawn; that of the point estimate is kept."""
        return self._point if draw is None else self.world.compiled(draw)

    @cached_property
    def _point(self) -> tuple[WorldNode, ...]:
        return self.world.compiled(None)

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
        return pd.Series(shares_of(self.world, node), index=index, name="probability")

    def mean(
        self,
        outcome: str,
        level: float = 0.95,
        measure: Measure = "mean",
        *,
        event: object = None,
        given: Given = NOBODY,
        quantile: float = 0.5,
    ) -> Estimate:
        """Return the mean of a node in this world: over its scores, without MISSING and OTHER.

        With `event` the probability of a level, or of any of several; of a survival node its risk
        by the last edge, or its restricted mean; with the measure "quantile" that quantile. With
        `given`, levels by node, the mean over those persons.

        Raises:
            UsageError: an unknown node or level, one without numbers, or a measure that does not
                fit.
        """
        question = Question(outcome, measure, event, given, quantile)
        return asking.estimated(self.world, question, level)

    def effect(  # noqa: PLR0913 - one argument per part of the question
        self,
        treatment: str,
        outcome: str,
        treated: Intervention = 1,
        reference: Intervention = 0,
        level: float = 0.95,
        measure: Measure = "mean",
        *,
        event: object = None,
        given: Given = NOBODY,
        quantile: float = 0.5,
    ) -> Effect:
        """Return the average effect of setting `treatment` on the mean of `outcome`.

        A treatment of a study with visits, named without one, is set at all of them. Exact for
        the fitted parameters where all that the outcome depends on has tables, else simulated
        with the same noise in both worlds; the interval is over the parameter draws. The mean of
        a time to an event is its risk. `event`, `given` and `quantile` as in `mean`.

        Raises:
            UsageError: an unknown node or level, an outcome without numbers, the treatment as
                its own outcome, a level of confidence outside (0, 1), persons who are told apart
                by what the treatment changes, or a measure that does not fit the outcome.
        """
        asking.check_contrast(self.study, nodes_of(self.study, treatment), outcome, given)
        question = Question(outcome, measure, event, given, quantile)
        return self._contrast({treatment: treated}, {treatment: reference}, question, level)

    def compare(  # noqa: PLR0913 - one argument per part of the question
        self,
        outcome: str,
        first: Mapping[str, Intervention],
        second: Mapping[str, Intervention] = MappingProxyType({}),
        level: float = 0.95,
        measure: Measure = "mean",
        *,
        event: object = None,
        given: Given = NOBODY,
        quantile: float = 0.5,
    ) -> Effect:
        """Return the mean of `outcome` under some interventions less that under others.

        By default under none: so the value of a policy against what happens without it.

        Raises:
            UsageError: as `effect` and `do`.
        """
        question = Question(outcome, measure, event, given, quantile)
        nodes = [node for name in {**first, **second} for node in nodes_of(self.study, name)]
        asking.check_contrast(self.study, tuple(nodes), outcome, given)
        return self._contrast(first, second, question, level)

    def _contrast(
        self,
        first: Mapping[str, Intervention],
        second: Mapping[str, Intervention],
        question: Question,
        level: float,
    ) -> Effect:
        question = asking.checked(self.study, question)
        models = self.do(first), self.do(second)
        found = asking.contrasted(models[0].world, models[1].world, question, level)
        names = [names_of(model, set_) for model, set_ in zip(models, (first, second), strict=True)]
        treated = {*models[0].world.treated, *models[1].world.treated}
        return Effect(
            treatment=", ".join({**first, **second}),
            outcome=question.outcome,
            treated=names[0],
            reference=names[1],
            measure=question.measure,
            event="" if question.event is None else shown_levels(question.event),
            given=", ".join(f"{node} = {value}" for node, value in question.given.items()),
            rests_on=(graph_sentence(self.world, treated, question.outcome),),
            **asdict(found),
        )

    def dose_response(  # noqa: PLR0913 - one argument per part of the question
        self,
        treatment: str,
        outcome: str,
        doses: Sequence[Value] | None = None,
        level: float = 0.95,
        measure: Measure = "mean",
        *,
        event: object = None,
        given: Given = NOBODY,
    ) -> pd.DataFrame:
        """Return the mean of `outcome` with `treatment` set to each of some levels or numbers.

        By default to all its levels. One line a dose; as `mean`.

        Raises:
            UsageError: as `effect`.
        """
        nodes = nodes_of(self.study, treatment)
        asking.check_contrast(self.study, nodes, outcome, given)
        doses = curves.default_doses(self.study, nodes[0]) if doses is None else doses
        worlds = {dose: self.do({treatment: dose}).world for dose in doses}
        question = Question(outcome, measure, event, given)
        return curves.dose_response(worlds, question, level, treatment)

    def survival(self, outcome: str, level: float = 0.95, given: Given = NOBODY) -> pd.DataFrame:
        """Return the share without the event by each edge of a time to an event.

        Raises:
            UsageError: an unknown node or level, or an outcome that is no time to an event.
        """
        return curves.survival_curve(self.world, outcome, given, level)

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

    def check_sample(self, rows: int, seed: int, start: int = 0, draw: int | None = None) -> None:
        """Check that a sample may be asked for.

        Raises:
            UsageError: rows or start below 0, a seed outside 64 bits, no such draw, or a view
                of which the graph does not identify all nodes.
        """
        check_identified(self.world, self.study.causal_graph.nodes)
        _check_rows(rows, start)
        check_seed(seed)
        if draw is not None and not 0 <= draw < self.draws:
            raise UsageError(
                "draw-out-of-range",
                f"Expected a draw from 0 to {self.draws - 1}, found {draw}.",
                "Leave it out to sample from the point estimate.",
            )


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


def names_of(model: Model, interventions: Mapping[str, Intervention]) -> str:
    """Return what nodes of a view are set to, for people."""
    nodes = [nodes_of(model.study, name)[0] for name in interventions]
    found = [name_of(model.study, node, model.interventions[node]) for node in nodes]
    return ", ".join(found) or "as it is"


def _check_rows(rows: int, start: int) -> None:
    if rows < 0:
        raise _out_of_range("a number of rows from 0", rows)
    if start < 0:
        raise _out_of_range("a first row from 0", start)


def _out_of_range(expected: str, found: int) -> UsageError:
    return UsageError(
        "rows-out-of-range", f"Expected {expected}, found {found}.", "Rows are counted from 0."
    )
