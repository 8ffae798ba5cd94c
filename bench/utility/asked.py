"""A network that is asked a few questions: where budgets directed at questions are measured.

The questions are a public sample of the network's contrasts, of levels that both have a fair
share of the population, and with an effect worth asking for. They are those of STUDIES separate
studies, so that what is found does not hang on ten questions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bench.utility.networks import Network, network
from bench.utility.studies import study_within
from bench.utility.world import CENTRAL, Contrast, Effects, Marginal, Records, Sites
from protocol.study.study import Study

QUESTIONS = 10  # of one study
STUDIES = 3
SEED = 3
_FAIR_SHARE = 0.05
_WORTH_ASKING = 0.03
_SUFFIX = "-asked"


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A world with the contrasts of all studies in turn; `study` is one that asks nothing."""

    network: Network
    contrasts: tuple[Contrast, ...]
    truth: Effects

    @property
    def name(self) -> str:
        """Return the network's name with a suffix."""
        return f"{self.network.name}{_SUFFIX}"

    @property
    def marginals(self) -> Sequence[Marginal]:
        """Return the network's."""
        return self.network.marginals

    def study(self, epsilon: float, sites: Sites) -> Study:
        """Return the network's study."""
        return self.network.study(epsilon, sites)

    def records(self, rows: int, seed: int) -> Records:
        """Return the network's records."""
        return self.network.records(rows, seed)

    def within(self, budget: str, sites: Sites, asking: range, plan: str = "") -> Study:
        """Return a study with a budget and a [plan] in TOML that asks some of the contrasts."""
        body = self.network.body + plan + self._questions(asking)
        return study_within(self.network.name, body, budget, sites)

    def _questions(self, asking: range) -> str:
        variables = self.network.study(1.0, CENTRAL).variables
        asked_now = [self.contrasts[place] for place in asking]
        return "".join(
            f'[[questions]]\nname = "q{place}"\nkind = "average"\n'
            f'treatment = "{one.treatment}"\noutcome = "{one.outcome}"\n'
            f'treated = "{variables[one.treatment].labels[one.treated]}"\n'
            f'reference = "{variables[one.treatment].labels[one.reference]}"\n'
            for place, one in enumerate(asked_now)
        )


def is_asked(name: str) -> bool:
    """Return whether a world's name is that of an asked network."""
    return name.endswith(_SUFFIX)


@lru_cache
def asked(name: str) -> Asked:
    """Return the asked network of this name, which ends in the suffix."""
    whole = network(name.removesuffix(_SUFFIX))
    graph = whole.study(1.0, CENTRAL).causal_graph
    shares = {
        node: table.reshape(-1, table.shape[-1]).sum(axis=0)
        for node, table in zip(graph.nodes, whole.marginals, strict=True)
    }
    worth = [
        place
        for place, one in enumerate(whole.contrasts)
        if min(shares[one.treatment][[one.treated, one.reference]]) >= _FAIR_SHARE
        and abs(whole.truth[place]) >= _WORTH_ASKING
    ]
    generator = np.random.default_rng(SEED)
    chosen = generator.choice(worth, STUDIES * QUESTIONS, replace=False).tolist()
    contrasts = tuple(whole.contrasts[place] for place in chosen)
    return Asked(whole, contrasts, whole.truth[chosen])
