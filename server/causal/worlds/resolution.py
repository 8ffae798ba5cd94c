"""From interventions as people write them to settings of nodes."""

from collections.abc import Mapping
from decimal import Decimal

from protocol.canonical import Json
from protocol.errors import UsageError
from protocol.study.quantities import decimal_text
from protocol.study.study import Study
from protocol.study.time import NOW
from protocol.study.variables import Boolean, Count, Numeric, Survival
from server.causal.worlds.agents import agent_law
from server.causal.worlds.assignment import Assignment, assignment_of
from server.causal.worlds.capacities import Scored, threshold_rule
from server.causal.worlds.interventions import (
    Agent,
    Capacity,
    Intervention,
    Policy,
    Randomised,
    Shift,
)
from server.causal.worlds.naming import nodes_of
from server.causal.worlds.policies import lottery, policy_law
from server.causal.worlds.settings import Computed, Drawn, Setting


def resolve(
    study: Study, interventions: Mapping[str, Intervention], scored: Scored
) -> dict[str, Setting]:
    """Return what nodes are set to, by node; a node that is named goes before its variable.

    `scored` gives the scores of a capacity in the world that the interventions are made in.

    Raises:
        UsageError: an unknown node, a value outside its domain, or an intervention that does not
            fit its node.
    """
    found: dict[str, Setting] = {}
    exact = {name for name in interventions if name in study.causal_graph.nodes}
    for name, given in interventions.items():
        for node in nodes_of(study, name):
            if node == name or node not in exact:
                found[node] = _setting(study, node, given, scored)
    return found


def _setting(study: Study, node: str, given: Intervention, scored: Scored) -> Setting:
    if isinstance(given, Policy | Shift | Randomised | Agent | Capacity):
        _check_settable(study, node)
    match given:
        case Policy(value):
            return Computed(policy_law(study, node, value))
        case Shift():
            return Computed(policy_law(study, node, _shifted(study, node, given)))
        case Randomised():
            return lottery(study, node, given)
        case Agent():
            return Computed(agent_law(study, node, given))
        case Capacity():
            return Computed(policy_law(study, node, _capacity(study, node, given, scored)))
    return assignment_of(study, node, given)


def _check_settable(study: Study, node: str) -> None:
    if isinstance(study.variable(node), Survival):
        raise UsageError(
            "policy-invalid",
            f"Expected a node that a policy can set, found {node!r}, a time to an event.",
            "Set what causes it, or set it to one of its intervals.",
        )


def _shifted(study: Study, node: str, given: Shift) -> str:
    """Return a shift as a rule."""
    variable = study.variable(node)
    if not isinstance(variable, Numeric | Count):
        raise UsageError(
            "policy-invalid",
            f"Expected a number to shift, found {node!r}, which is {variable.kind}.",
            "Write a policy: what each level becomes.",
        )
    own = _own_name(study, node)
    by = given.by if isinstance(given.by, str) else decimal_text(Decimal(repr(float(given.by))))
    return f"{own} + ({by})"


def _capacity(study: Study, node: str, given: Capacity, scored: Scored) -> str:
    if not isinstance(study.variable(node), Boolean):
        raise UsageError(
            "policy-invalid",
            f"Expected a boolean node with a capacity, found {node!r}.",
            "A capacity says who gets something, and who does not.",
        )
    return threshold_rule(study, node, given, scored)


def _own_name(study: Study, node: str) -> str:
    """Return the name that rules of a node have for it."""
    if study.time is None or node in study.variables:
        return node if node.isidentifier() else f'variable("{node}")'
    return node.partition("[")[0] + NOW


def document_of(
    settings: Mapping[str, Setting], study: Study, *, paths: bool = False
) -> list[Mapping[str, Json]]:
    """Return what was set, for whoever wants to do it again: one object a node, in their order.

    With `paths` an agent's has that of its file, which is for this machine alone.
    """
    return [
        {"node": node, **_document(study, node, settings[node], paths=paths)}
        for node in study.causal_graph.nodes
        if node in settings
    ]


def _document(study: Study, node: str, setting: Setting, *, paths: bool) -> Mapping[str, Json]:
    match setting:
        case Assignment(_, None):
            return {"kind": "set", "value": name_of(study, node, setting)}
        case Assignment(_, value):
            return {"kind": "set", "value": repr(value)}
        case Computed(law):
            return {**law.document, "path": law.path} if paths and law.path else law.document
        case Drawn():
            return setting.document


def name_of(study: Study, node: str, setting: Setting) -> str:
    """Return what a node is set to, for people."""
    match setting:
        case Assignment(code, None):
            return study.model_labels(node)[code]
        case Assignment(_, value):
            return f"{value:.15g}"
        case Computed(law):
            return str(law.document.get("value") or law.document.get("function"))
        case Drawn():
            return "randomised"
