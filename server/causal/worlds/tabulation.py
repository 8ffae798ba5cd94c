"""Rules, policies and lotteries as tables, where they depend on codes alone and give codes."""

from collections.abc import Mapping
from math import prod

import numpy as np

from protocol.study.study import Study
from protocol.study.variables import Count, Numeric, Survival
from server.causal.mechanisms.mechanism import RuleMechanism, Table
from server.causal.sampling.rules import computed, shares_of
from server.causal.sampling.tables import Codes
from server.causal.worlds.compilation import lottery_node, rule_node, study_law
from server.causal.worlds.part import Part
from server.causal.worlds.settings import Computed, Drawn

MOST_CELLS = 2**18


def tabulated(study: Study, part: Part) -> Table | None:
    """Return P(part | parents), shape (parents' sizes .., size), of a law without parameters.

    None where the part is drawn otherwise, where numbers enter, or where the table is too large.

    Raises:
        UsageError: a policy without a result, or a lottery without probabilities.
    """
    reads, size = part.reads, len(study.model_labels(part.node))
    numbers = any(isinstance(study.variable(node), Numeric | Count | Survival) for node in reads)
    own = isinstance(study.variable(part.node), Numeric | Count | Survival)
    sizes = study.model_sizes(reads)
    if numbers or prod(sizes) * size > MOST_CELLS:
        return None
    codes = np.indices(sizes).reshape(len(sizes), prod(sizes)).astype(np.int16)
    position = {node: at for at, node in enumerate(reads)}
    match part:
        case Part(setting=Drawn() as setting):
            return _by_lot(study, part, setting, codes, position).reshape(*sizes, size)
        case Part(setting=Computed(law)) if not own:
            node = rule_node(study, part.node, law, position, None)
        case Part(setting=None, mechanism=RuleMechanism() as mechanism) if not own:
            law = study_law(mechanism)
            node = rule_node(study, part.node, law, position, None, is_policy=False)
        case _:
            return None
    found = computed(node, node.reads.columns(codes, {}), codes.shape[1]).codes
    return np.eye(size)[found].reshape(*sizes, size)


def _by_lot(
    study: Study, part: Part, setting: Drawn, codes: Codes, position: Mapping[str, int]
) -> Table:
    node = lottery_node(study, part, setting, position, None)
    columns = [reads.columns(codes, {}) for reads in node.reads]
    table = np.zeros((codes.shape[1], len(study.model_labels(part.node))))
    table[:, list(node.codes)] = shares_of(node, columns, codes.shape[1]).T
    return table
