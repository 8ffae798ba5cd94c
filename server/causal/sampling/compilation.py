"""From a model's mechanisms to a world that can be drawn (`world.py`)."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache

import numpy as np

from protocol.study.expression import Expression
from protocol.study.expression_reader import parse_rule
from protocol.study.quantities import MISSING
from protocol.study.study import Study
from protocol.study.time import NOW, base_name
from protocol.study.variables import Categorical, Count, Numeric, Ordinal, Survival, Variable
from server.causal.mechanisms.mechanism import (
    WHOLE,
    Mechanism,
    Placement,
    RegressionMechanism,
    RuleMechanism,
    Table,
    TableMechanism,
)
from server.causal.sampling.sampler import SampledNode, compile_node
from server.causal.sampling.world import (
    CENSORED,
    Bins,
    RegressionNode,
    RuleNode,
    SurvivalNode,
    TableNode,
    WorldNode,
)
from server.causal.worlds.intervention import Assignment

_EMPTY: Mapping[str, Placement] = {}


def compile_world(
    study: Study,
    mechanisms: Mapping[str, Mechanism],
    placements: Mapping[str, Placement] = _EMPTY,
    assignments: Mapping[str, Assignment] | None = None,
    draw: int | None = None,
) -> tuple[WorldNode, ...]:
    """Return the nodes of `mechanisms`, in the order of the study's graph, ready to be drawn.

    `mechanisms` may hold the first nodes of the graph alone. Parameters are the point estimate,
    or draw number `draw`.
    """
    order = [node for node in study.causal_graph.nodes if node in mechanisms]
    position = {node: place for place, node in enumerate(order)}
    return tuple(
        _node(
            study,
            mechanisms[node],
            position,
            bins_of(study.variable(node), placements.get(base_name(node)), draw),
            (assignments or {}).get(node),
            draw,
        )
        for node in order
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


def _node(
    study: Study,
    mechanism: Mechanism,
    position: Mapping[str, int],
    bins: Bins | None,
    assignment: Assignment | None,
    draw: int | None,
) -> WorldNode:
    variable = study.variable(mechanism.node)
    if isinstance(mechanism, TableMechanism) and isinstance(variable, Survival):
        return _survival(variable, mechanism, position, assignment, draw)
    if assignment is not None:
        return TableNode(_fixed(mechanism.node, assignment), bins, assignment.value)
    match mechanism:
        case TableMechanism():
            table = mechanism.table if draw is None else mechanism.parts[draw] / WHOLE
            return TableNode(_sampled(mechanism.node, mechanism, position, table), bins, None)
        case RegressionMechanism():
            return _regression(study, mechanism, position, bins, 0 if draw is None else 1 + draw)
        case RuleMechanism():
            return _rule(study, mechanism, position, bins)


def _survival(
    variable: Survival,
    mechanism: TableMechanism,
    position: Mapping[str, int],
    assignment: Assignment | None,
    draw: int | None,
) -> SurvivalNode:
    node, censoring = mechanism.node, mechanism.censoring
    table = mechanism.table if draw is None else mechanism.parts[draw] / WHOLE
    event = _sampled(node, mechanism, position, table)
    ends = None
    if censoring is not None:
        table = censoring.table if draw is None else censoring.parts[draw] / WHOLE
        ends = _sampled(node + CENSORED, mechanism, position, table)
    edges = np.array([float(edge) for edge in variable.edges])
    return SurvivalNode(event if assignment is None else _fixed(node, assignment), ends, edges)


def _fixed(node: str, assignment: Assignment) -> SampledNode:
    return SampledNode(node, np.zeros((0, 1), np.uint32), (), (), assignment.code)


def _sampled(
    label: str, mechanism: TableMechanism, position: Mapping[str, int], table: Table
) -> SampledNode:
    return compile_node(label, [position[parent] for parent in mechanism.parents], table, None)


def _regression(
    study: Study,
    mechanism: RegressionMechanism,
    position: Mapping[str, int],
    bins: Bins | None,
    at: int,
) -> RegressionNode:
    terms = mechanism.coefficients.shape[-1]
    return RegressionNode(
        name=mechanism.node,
        rows=tuple(position[parent] for parent in mechanism.rows),
        sizes=study.model_sizes(mechanism.rows),
        regressors=tuple(position[parent] for parent in mechanism.regressors),
        response=mechanism.response,
        coefficients=mechanism.coefficients[at].reshape(-1, terms),
        scale=mechanism.scale[at].ravel(),
        bounds=mechanism.bounds,
        bins=bins,
    )


def _rule(
    study: Study, mechanism: RuleMechanism, position: Mapping[str, int], bins: Bins | None
) -> RuleNode:
    own = study.variable(mechanism.node)
    columns = rule_columns(mechanism.parents)
    return RuleNode(
        name=mechanism.node,
        expression=_expression(mechanism.value),
        parents={column: position[parent] for column, parent in columns.items()},
        labels={
            column: _levels(study.variable(column), study.model_labels(column))
            for column in columns
            if isinstance(study.variable(column), Categorical | Ordinal)
        },
        own_labels=own.labels if isinstance(own, Categorical | Ordinal) else None,
        missing_code=own.missing_code if MISSING in study.model_labels(mechanism.node) else None,
        bounds=None if bins is None else (float(bins.edges[0]), float(bins.edges[-1])),
        bins=bins,
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


def _levels(variable: Variable, labels: Sequence[str]) -> tuple[str, ...]:
    """Return the levels without MISSING, which is no level of an expression."""
    return tuple(labels[: variable.missing_code])
