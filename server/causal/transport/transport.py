"""A model for a target population: its own mechanisms where it differs, the model's elsewhere.

With selection nodes pointing at the mechanisms that are marked site-specific (Pearl and Bareinboim
2011, 2014), and nothing unmeasured, P*(y | do(t)) is the truncated factorisation with these
mechanisms taken from the target population: a release of it, or rows of it that a researcher has.
That all others are the same in both is an assumption; `concause release invariance` tests it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pandas as pd

from protocol.errors import UsageError
from protocol.study.problems import listed
from protocol.study.study import Study
from protocol.study.time import base_name
from server.causal.mechanisms.mechanism import (
    Caution,
    Mechanism,
    Placement,
    RegressionMechanism,
    RuleMechanism,
    TableMechanism,
    draws_of,
)
from server.causal.model import Model
from server.causal.transport.target_rows import mechanism_of_rows
from server.causal.worlds.naming import nodes_of

TRANSPORTED = "transported"


def transport(
    model: Model, target: Model | pd.DataFrame, specific: str | Sequence[str] | None = None
) -> Model:
    """Return the model of the target population.

    `specific` are the nodes whose mechanisms are taken from the target, by default those that the
    study calls site-specific. The target is a model of the same variables, or rows with columns as
    `Model.sample` has them, for these nodes and their parents.
    Parameter draws of the two are independent, so that intervals hold the uncertainty of both.

    Raises:
        UsageError: an unknown node, nothing to take, a target with other levels or causes, or rows
            without the columns or with values outside of the study.
    """
    if model.interventions:
        raise UsageError(
            "intervened-model",
            "Expected the model as it was fitted, found one under an intervention.",
            "Transport it first, then intervene.",
        )
    named = model.study.graph.site_specific if specific is None else specific
    names = (named,) if isinstance(named, str) else tuple(named)
    nodes = tuple(dict.fromkeys(node for name in names for node in nodes_of(model.study, name)))
    if not nodes:
        raise UsageError(
            "nothing-specific",
            "Expected nodes whose mechanisms differ in the target population, found none.",
            "Name those that differ, such as 'age' and 'sex'.",
        )
    taken = {node: _taken(model, target, node) for node in nodes}
    placements = dict(model.placements)
    if isinstance(target, Model):
        placements |= _placements(model, target, nodes)
    return replace(
        model,
        mechanisms=MappingProxyType({**model.mechanisms, **taken}),
        placements=MappingProxyType(placements),
        cautions=(*model.cautions, *_cautions(model.study, nodes)),
    )


def _taken(model: Model, target: Model | pd.DataFrame, node: str) -> Mechanism:
    if isinstance(target, pd.DataFrame):
        return mechanism_of_rows(model.study, model.mechanisms[node], target, model.draws)
    _check_alike(model, target, node)
    return _with_draws(target.mechanisms[node], model.draws)


def _check_alike(model: Model, target: Model, node: str) -> None:
    """Check that a node has the same levels and causes in the target.

    Raises:
        UsageError: it has not.
    """
    if node not in target.mechanisms:
        raise _other(node, "none", "a target that has it")
    parents = model.mechanisms[node].parents
    found = target.mechanisms[node].parents
    if set(parents) != set(found):
        raise _other(node, f"one with the causes {listed(found)}", f"one with {listed(parents)}")
    if parents != found:
        raise _other(node, "its causes in another order", "studies with the same names")
    for name in (*parents, node):
        if model.study.model_labels(name) != target.study.model_labels(name):
            raise _other(node, f"other levels of {name!r}", "studies with the same levels")


def _other(node: str, found: str, remedy: str) -> UsageError:
    return UsageError(
        "other-mechanism",
        f"Expected the target's mechanism of {node!r} over the same causes and levels, "
        f"found {found}.",
        f"Use {remedy}.",
    )


def _with_draws(mechanism: Mechanism, draws: int) -> Mechanism:
    """Return a mechanism with so many draws: its own in turn."""
    own = draws_of(mechanism)
    if own is None or own == draws:
        return mechanism
    chosen = np.arange(draws) % own
    match mechanism:
        case TableMechanism():
            terms, censoring = mechanism.terms, mechanism.censoring
            return replace(
                mechanism,
                parts=mechanism.parts[chosen],
                terms=None if terms is None else replace(terms, draws=terms.draws[chosen]),
                censoring=None
                if censoring is None
                else replace(censoring, parts=censoring.parts[chosen]),
            )
        case RegressionMechanism():
            rows = np.concatenate([[0], 1 + chosen])
            return replace(
                mechanism, coefficients=mechanism.coefficients[rows], scale=mechanism.scale[rows]
            )
        case RuleMechanism():
            return mechanism


def _placements(model: Model, target: Model, nodes: Sequence[str]) -> Mapping[str, Placement]:
    """Return where values of the nodes lie inside their bins, as the target has them."""
    chosen = np.concatenate([[0], 1 + np.arange(model.draws) % target.draws])
    names = {base_name(node) for node in nodes} & set(target.placements)
    return {
        name: replace(target.placements[name], shares=target.placements[name].shares[chosen])
        for name in names
    }


def _cautions(study: Study, nodes: Sequence[str]) -> list[Caution]:
    shared = [node for node in study.causal_graph.nodes if node not in nodes]
    text = (
        f"Taken from the target population. That the mechanisms of {listed(shared)} are the same "
        "there is assumed."
    )
    return [Caution(node, TRANSPORTED, text) for node in nodes]
