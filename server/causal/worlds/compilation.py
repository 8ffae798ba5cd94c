"""From the parts of a world to nodes that can be drawn (`sampling/drawing.py`)."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache, partial

import numpy as np

from protocol.study.expression import Expression
from protocol.study.expression_arrays import evaluate
from protocol.study.expression_reader import parse_rule
from protocol.study.quantities import MISSING
from protocol.study.study import Study
from protocol.study.time import NOW, base_name
from protocol.study.variables import Categorical, Count, Numeric, Ordinal, Survival, Variable
from server.causal.mechanisms.mechanism import (
    WHOLE,
    Parts,
    Placement,
    RegressionMechanism,
    RuleMechanism,
    Table,
    TableMechanism,
)
from server.causal.sampling.bins import Bins
from server.causal.sampling.nodes import (
    CENSORED,
    Function,
    LotteryNode,
    Reads,
    RegressionNode,
    RuleNode,
    SurvivalNode,
    TableNode,
    WorldNode,
)
from server.causal.sampling.tables import SampledNode, compile_node, fixed_node
from server.causal.worlds.assignment import Assignment
from server.causal.worlds.part import Part
from server.causal.worlds.settings import Computed, Drawn, Law

_EMPTY: Mapping[str, Placement] = {}


def compile_world(
    study: Study,
    parts: Sequence[Part],
    placements: Mapping[str, Placement] = _EMPTY,
    draw: int | None = None,
) -> tuple[WorldNode, ...]:
    """Return the parts ready to be drawn; parents are among them, before their children.

    Parameters are the point estimate, or draw number `draw`.
    """
    position = {part.name: place for place, part in enumerate(parts)}
    return tuple(
        _node(
            study,
            part,
            tuple(position[parent] for parent in part.parents),
            bins_of(study.variable(part.node), placements.get(base_name(part.node)), draw),
            draw,
        )
        for part in parts
    )


def bins_of(variable: Variable, placement: Placement | None, draw: int | None) -> Bins | None:
    """Return how codes and values of a variable belong together; None if it has no values."""
    if not isinstance(variable, Numeric | Count):
        return None
    edges = np.array([smallest_float_from(edge) for edge in variable.edges])
    bins = len(edges) - 1
    if placement is None:
        parts, shares = edges, np.ones((bins, 1))
    else:
        shares = placement.shares[0 if draw is None else 1 + draw]
        parts = placement.edges.copy()
        parts[:: shares.shape[1]] = edges
    cumulative = np.concatenate([np.zeros((bins, 1)), np.cumsum(shares, axis=1)], axis=1)
    cumulative[:, -1] = 1.0
    return Bins(
        edges=edges,
        parts=parts,
        cumulative=cumulative,
        logarithmic=isinstance(variable, Numeric) and variable.spacing == "log",
        whole=isinstance(variable, Count),
    )


def smallest_float_from(edge: Decimal) -> float:
    """Return the smallest float that is not below `edge`, so that values keep to their bin."""
    number = float(edge)
    return number if Decimal(number) >= edge else float(np.nextafter(number, np.inf))


Places = tuple[int, ...]  # of a part's parents


def _node(
    study: Study, part: Part, places: Places, bins: Bins | None, draw: int | None
) -> WorldNode:
    variable, mechanism = study.variable(part.node), part.mechanism
    if isinstance(mechanism, TableMechanism) and isinstance(variable, Survival):
        return _survival(variable, part, mechanism, places, draw)
    table = part.table
    if table is None and part.setting is None and isinstance(mechanism, TableMechanism):
        table = mechanism.table if draw is None else mechanism.parts[draw] / WHOLE
    if table is not None:
        return TableNode(compile_node(part.stream, places, table), bins, None)
    if isinstance(part.setting, Assignment):
        fixed = fixed_node(part.stream, part.setting.code)
        return TableNode(fixed, bins, part.setting.value)
    return _computed(study, part, dict(zip(part.reads, places, strict=True)), bins, draw)


def _computed(
    study: Study, part: Part, position: Mapping[str, int], bins: Bins | None, draw: int | None
) -> WorldNode:
    """Return a part that is neither set to a value nor drawn from a table."""
    match part.setting or part.mechanism:
        case Computed(law):
            return rule_node(study, part.node, law, position, bins)
        case Drawn() as lottery:
            return lottery_node(study, part, lottery, position, bins)
        case RuleMechanism() as rule:
            return rule_node(study, part.node, study_law(rule), position, bins, is_policy=False)
        case RegressionMechanism() as regression:
            return _regression(study, part, regression, position, bins, draw)
    raise AssertionError(f"{part.name!r} is drawn from nothing")


def _survival(
    variable: Survival, part: Part, mechanism: TableMechanism, places: Places, draw: int | None
) -> SurvivalNode:
    """Return a time to an event; how observation ends, an intervention on the event leaves."""
    censoring, setting = mechanism.censoring, part.setting
    ends, edges = None, np.array([float(edge) for edge in variable.edges])
    if isinstance(setting, Assignment):
        event = fixed_node(part.stream, setting.code)
    else:
        event = _sampled(part.stream, mechanism.table, mechanism.parts, places, draw)
    if censoring is not None:
        ends = _sampled(part.stream + CENSORED, censoring.table, censoring.parts, places, draw)
    return SurvivalNode(event, ends, edges)


def _sampled(
    stream: str,
    point: Table,
    draws: Parts,
    places: Places,
    draw: int | None,
) -> SampledNode:
    return compile_node(stream, places, point if draw is None else draws[draw] / WHOLE)


def _regression(
    study: Study,
    part: Part,
    mechanism: RegressionMechanism,
    position: Mapping[str, int],
    bins: Bins | None,
    draw: int | None,
) -> RegressionNode:
    at, terms = 0 if draw is None else 1 + draw, mechanism.coefficients.shape[-1]
    return RegressionNode(
        stream=part.stream,
        rows=tuple(position[parent] for parent in mechanism.rows),
        sizes=study.model_sizes(mechanism.rows),
        regressors=tuple(position[parent] for parent in mechanism.regressors),
        response=mechanism.response,
        coefficients=mechanism.coefficients[at].reshape(-1, terms),
        scale=mechanism.scale[at].ravel(),
        bounds=mechanism.bounds,
        bins=bins,
    )


def rule_node(
    study: Study,
    node: str,
    law: Law,
    position: Mapping[str, int],
    bins: Bins | None,
    *,
    is_policy: bool = True,
) -> RuleNode:
    """Return a node that a law computes from nodes at these positions."""
    own = study.variable(node)
    return RuleNode(
        function=law.function,
        reads=reads_at(study, law, position),
        own_labels=own.labels if isinstance(own, Categorical | Ordinal) else None,
        missing_code=own.missing_code if MISSING in study.model_labels(node) else None,
        bounds=None if bins is None else (float(bins.edges[0]), float(bins.edges[-1])),
        bins=bins,
        policy_of=node if is_policy else None,
    )


def lottery_node(
    study: Study, part: Part, setting: Drawn, position: Mapping[str, int], bins: Bins | None
) -> LotteryNode:
    """Return a node that is drawn by lot, with weights from nodes at these positions."""
    return LotteryNode(
        stream=part.stream,
        of=part.node,
        codes=tuple(setting.weights),
        weights=tuple(law.function for law in setting.weights.values()),
        reads=tuple(reads_at(study, law, position) for law in setting.weights.values()),
        bins=bins,
    )


def reads_at(study: Study, law: Law, position: Mapping[str, int]) -> Reads:
    """Return how a law reads nodes at these positions."""
    return Reads(
        places={name: position[node] for name, node in law.reads.items()},
        labels={
            name: tuple(study.model_labels(node)[: study.variable(node).missing_code])
            for name, node in law.reads.items()
            if isinstance(study.variable(node), Categorical | Ordinal)
        },
    )


def study_law(mechanism: RuleMechanism) -> Law:
    """Return the law of a rule of the study."""
    function: Function = partial(evaluate, _expression(mechanism.value))
    return Law(
        function, rule_columns(mechanism.parents), {"kind": "rule", "value": mechanism.value}
    )


def rule_columns(parents: Sequence[str]) -> dict[str, str]:
    """Return the parents of a rule by the names that its expression has for them.

    One rule serves all visits, the first among them: it reads values of its own visit as x[t].
    """
    return {
        parent if parent == base_name(parent) else base_name(parent) + NOW: parent
        for parent in parents
    }


@lru_cache(maxsize=256)
def _expression(text: str) -> Expression:
    """Return a rule, read once for all parameter draws."""
    return parse_rule(text)
