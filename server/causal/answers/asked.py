"""What is asked of a node in a world: means of what its levels, or its values, count for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from protocol.errors import UsageError
from protocol.study.problems import listed, nearest, quote
from protocol.study.sections import Measure as StudyMeasure
from protocol.study.study import Study
from protocol.study.variables import Survival
from server.causal.answers.scores import Reals, scores_of
from server.causal.mechanisms.mechanism import Placement
from server.causal.worlds.assignment import assignment_of
from server.causal.worlds.naming import check_node


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Means over the persons who have certain levels of other nodes, by default over all.

    `scores`, shape (K, 1 or 1 + draws, levels), are what levels count for in K means, NaN where a
    level has no number: then a person counts for nothing. With `by_value` a value counts itself,
    where the node has values that are not drawn from bins.
    """

    node: str
    scores: Reals
    by_value: bool = False
    given: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def numbers(self, draw: int | None) -> Reals:
        """Return score and whether there is one, per level: shape (levels, 2 K)."""
        own = self.scores[:, 0 if draw is None or self.scores.shape[1] == 1 else 1 + draw]
        pairs = np.stack([np.nan_to_num(own), ~np.isnan(own)], axis=1)
        return np.asarray(pairs.reshape(2 * len(own), -1).T)


def asked_mean(
    study: Study,
    node: str,
    measure: StudyMeasure,
    placement: Placement | None,
    given: Mapping[str, int] | None = None,
) -> Asked:
    """Return the question for the mean of a node; of a ratio of hazards or risks, for the risk.

    Raises:
        UsageError: the node has no numbers, or the measure is not one of it.
    """
    scores = scores_of(study, node, measure, placement)
    return Asked(node, scores[None], by_value=True, given=given or {})


def asked_event(
    study: Study, node: str, event: object, given: Mapping[str, int] | None = None
) -> Asked:
    """Return the question for the probability of a level, or of any of several.

    Persons whose value is missing count for nothing, unless MISSING is what is asked for.

    Raises:
        UsageError: no such level.
    """
    labels = study.model_labels(node)
    levels = [event] if isinstance(event, str | int | float) else list(event)  # type: ignore[call-overload]
    codes = [code_of_level(study, node, level) for level in levels]
    scores = np.zeros(len(labels))
    missing = study.variable(node).missing_code
    if missing is not None and missing < len(labels):
        scores[missing] = np.nan
    scores[codes] = 1.0
    return Asked(node, scores[None, None], given=given or {})


def asked_risks(study: Study, node: str, given: Mapping[str, int] | None = None) -> Asked:
    """Return the question for the risk of an event by each edge but the first.

    Raises:
        UsageError: the node is no time to an event.
    """
    variable = study.variable(node)
    if not isinstance(variable, Survival):
        raise UsageError(
            "not-survival",
            f"Expected a time to an event, found {node!r}, which is {variable.kind}.",
            f"Ask for one of {listed(_survival_nodes(study)) or 'a study that has one'}.",
        )
    intervals = len(variable.intervals)
    by = np.tri(intervals, intervals + 1)
    return Asked(node, by[:, None], given=given or {})


def shown_levels(event: object) -> str:
    """Return a level, or several, for people."""
    if isinstance(event, bool | np.bool_):
        return str(int(event))
    if isinstance(event, str | int | float):
        return str(event)
    return " or ".join(map(str, event))  # type: ignore[call-overload]


def code_of_level(study: Study, node: str, level: object) -> int:
    """Return the code of a level of a node.

    Raises:
        UsageError: there is none.
    """
    labels = study.model_labels(node)
    text = str(int(level)) if isinstance(level, bool | np.bool_) else str(level)
    if text not in labels:
        raise UsageError(
            "unknown-level",
            f"Expected a level of {node!r}, found {quote(level)}.",
            f"Write {nearest(text, labels)}.",
        )
    return labels.index(text)


def given_codes(study: Study, given: Mapping[str, object] | None) -> dict[str, int]:
    """Return the codes of levels that persons have, by node; a number stands for its bin.

    Raises:
        UsageError: an unknown node or level.
    """
    for node in given or {}:
        check_node(study, node)
    return {
        node: assignment_of(study, node, value).code  # type: ignore[arg-type]
        for node, value in (given or {}).items()
    }


def _survival_nodes(study: Study) -> Sequence[str]:
    nodes = study.causal_graph.nodes
    return [node for node in nodes if isinstance(study.variable(node), Survival)]
