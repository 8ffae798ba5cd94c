"""The causes of treatment and outcome in a world in which the treatment is set.

One weighted context per combination of these causes, exact where all that they depend on has
tables, else one per simulated person. In each the law of the treatment without intervention, and
of the outcome at the level that is set.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

from protocol.errors import UsageError
from protocol.study.problems import quote
from server.causal.answers.answering import exact_distributions
from server.causal.answers.asking import Question, asked_of
from server.causal.answers.axes import aligned
from server.causal.answers.simulation import seed_of
from server.causal.mechanisms.mechanism import TableMechanism
from server.causal.model import Model
from server.causal.sampling.drawing import draw as draw_rows
from server.causal.sampling.laws import linear_of, shares_of
from server.causal.sampling.nodes import RegressionNode, Rows, SurvivalNode, TableNode, WorldNode
from server.causal.sampling.tables import SampledNode
from server.causal.worlds.interventions import Intervention
from server.causal.worlds.world import World

Reals: TypeAlias = NDArray[Any]  # float64

SIMULATED_ROWS, SIMULATED_DRAWS = 8_192, 20
_MOST_CELLS = 400_000  # of all draws


@dataclass(frozen=True, slots=True)
class Contexts:
    """Shapes (draws, contexts, ..): the estimate, then parameter draws.

    The outcome has shares of levels that count `scores`, or a `mean` and a `deviation`.
    """

    weights: Reals
    treatment: Reals  # P(level | causes), shape (.., levels)
    level: int  # of the treatment, that is set
    outcome: Reals | None  # P(level | causes, level set)
    scores: Reals  # shape (1 or draws, levels); NaN: counts for nothing
    mean: Reals | None = None
    deviation: Reals | None = None

    @property
    def estimate(self) -> "Contexts":
        """Return the contexts by the estimate alone."""
        return replace(
            self,
            weights=self.weights[:1],
            treatment=self.treatment[:1],
            outcome=None if self.outcome is None else self.outcome[:1],
            scores=self.scores[:1],
            mean=None if self.mean is None else self.mean[:1],
            deviation=None if self.deviation is None else self.deviation[:1],
        )


def contexts_of(model: Model, treatment: str, level: Intervention, question: Question) -> Contexts:
    """Return the contexts of a world in which the treatment has a level.

    Raises:
        UsageError: a treatment or an outcome of a kind that has no tilt here.
    """
    view = model.do({treatment: level})
    code = _code_set(view.world, treatment)
    scores = _scores(model, question)
    exact = _exact(model, view.world, treatment, code, question.outcome)
    if exact is not None:
        weights, treated, outcome = exact
        return Contexts(weights, treated, code, outcome, _draws_of(scores, len(weights)))
    return _simulated(model, view.world, treatment, code, question.outcome, scores)


def _code_set(world: World, treatment: str) -> int:
    (part,) = (part for part in world.parts if part.name == treatment)
    code = getattr(part.setting, "code", None)
    if code is None:
        raise UsageError(
            "not-a-level",
            f"Expected a level that {treatment!r} is set to, found a policy.",
            "Compare two levels.",
        )
    return int(code)


def _scores(model: Model, question: Question) -> Reals:
    found: Reals = asked_of(model.world, question).scores[0]
    return found


def _draws_of(scores: Reals, draws: int) -> Reals:
    return scores if len(scores) == 1 else scores[:draws]


def _exact(
    model: Model, world: World, treatment: str, code: int, outcome: str
) -> tuple[Reals, Reals, Reals] | None:
    """Return weights and shares over all combinations of causes, if they are known exactly."""
    first, second = model.mechanisms[treatment], model.mechanisms[outcome]
    if not (isinstance(first, TableMechanism) and isinstance(second, TableMechanism)):
        return None
    causes = [node for node in _causes(model, treatment, outcome) if node != treatment]
    joint = joint_of(model, world, causes)
    if joint is None:
        return None
    draws = min(len(joint), max(1 + SIMULATED_DRAWS, _MOST_CELLS // joint[0].size))
    shares = [
        _over(one.point_and_draws[:draws], one.parents, causes, (treatment, code))
        for one in (first, second)
    ]
    shape = joint.shape[1:] if causes else ()
    flat = [
        np.broadcast_to(each, (draws, *shape, each.shape[-1])).reshape(draws, -1, each.shape[-1])
        for each in shares
    ]
    return joint[:draws].reshape(draws, -1), flat[0], flat[1]


def joint_of(model: Model, world: World, nodes: Sequence[str]) -> Reals | None:
    """Return P(nodes) in a world, shape (1 + draws, sizes ..), one cell of none of them.

    None where it is not exact.
    """
    if not nodes:
        return np.ones((1 + model.draws, 1))
    return exact_distributions(world, nodes[-1], nodes[:-1])


def _causes(model: Model, treatment: str, outcome: str) -> list[str]:
    graph = model.study.causal_graph
    found = {*graph.parents[treatment], *graph.parents[outcome]}
    return [node for node in graph.nodes if node in found]


def _over(
    table: Reals, parents: Sequence[str], causes: Sequence[str], set_: tuple[str, int]
) -> Reals:
    """Return P(levels | causes), the level set in place of the treatment among the parents."""
    axes = [*parents, ""]
    if set_[0] in parents:
        at = 1 + axes.index(set_[0])
        table = np.take(table, set_[1], axis=at)
        axes.remove(set_[0])
    return aligned(table, axes, [*causes, ""])


def _simulated(
    model: Model, world: World, treatment: str, code: int, outcome: str, scores: Reals
) -> Contexts:
    draws = min(SIMULATED_DRAWS, model.draws)
    causes = [treatment, *_causes(model, treatment, outcome)]
    needed = world.up_to([*causes, *model.study.causal_graph.parents[treatment], outcome])
    place = {part.node: at for at, part in enumerate(needed.parts)}
    natural = model.world
    found: list[tuple[Reals, _Law]] = []
    for number in (None, *range(draws)):
        nodes = needed.compiled(number)
        rows = draw_rows(nodes, seed_of(model.study), 0, SIMULATED_ROWS)
        own = natural.compiled(number)
        laws = [
            _law(own[natural.place[node]], node, rows, natural.nodes, place)
            for node in (treatment, outcome)
        ]
        if laws[0].shares is None:
            raise _no_tilt(treatment, "a treatment with levels")
        found.append((laws[0].shares, laws[1]))
    treated = np.stack([shares for shares, _ in found])
    weights = np.full(treated.shape[:2], 1 / SIMULATED_ROWS)
    outcomes = [law for _, law in found]
    if outcomes[0].shares is None:
        mean = np.stack([np.asarray(law.mean) for law in outcomes])
        deviation = np.stack([np.asarray(law.deviation) for law in outcomes])
        return Contexts(weights, treated, code, None, scores, mean, deviation)
    shares = np.stack([np.asarray(law.shares) for law in outcomes])
    if shares.shape[-1] == 2 and scores.shape[-1] != 2:
        raise _no_tilt(outcome, "an outcome with levels, or a Gaussian one")
    return Contexts(weights, treated, code, shares, _draws_of(scores, 1 + draws))


@dataclass(frozen=True, slots=True)
class _Law:
    shares: Reals | None = None
    mean: Reals | None = None
    deviation: Reals | None = None


def _law(
    node: WorldNode, name: str, rows: Rows, order: Sequence[str], place: dict[str, int]
) -> _Law:
    """Return the law of a node for simulated persons; `place` is where its causes are in rows."""
    table = _table_of(node)
    if table is not None:
        parents = tuple(place[order[parent]] for parent in table.parents)
        return _Law(shares=shares_of(replace(table, parents=parents), rows.codes))
    if isinstance(node, RegressionNode) and node.response in ("gaussian", "logistic"):
        moved = replace(
            node,
            rows=tuple(place[order[at]] for at in node.rows),
            regressors=tuple(place[order[at]] for at in node.regressors),
        )
        predictor, scale = linear_of(moved, rows)
        if node.response == "logistic":
            risk = special.expit(predictor)
            return _Law(shares=np.stack([1 - risk, risk], axis=-1))
        return _Law(mean=predictor, deviation=scale)
    raise _no_tilt(name, "a mechanism of tables, a logistic or a Gaussian one")


def _table_of(node: WorldNode) -> SampledNode | None:
    match node:
        case TableNode():
            return node.table
        case SurvivalNode():
            return node.event
    return None


def _no_tilt(node: str, expected: str) -> UsageError:
    return UsageError(
        "no-tilt",
        f"Expected {expected}, found {quote(node)}, for which no tilt by an unmeasured cause is "
        "known here.",
        "Ask e_values() instead, which needs the effect alone.",
    )
