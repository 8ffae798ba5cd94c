"""Which effects are asked on a network: every treatment with every outcome that it can reach."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bench.utility.world import Contrast
from protocol.study.study import Study
from protocol.study.variables import Variable

RAREST_SHARE = 0.01  # of the population that both compared levels need: a rarer one has no data
AT_LEAST = 200
AT_MOST = 300
SEED = 20_240_611

Shares = Mapping[str, NDArray[np.float64]]  # P(node), shape (size,)


def contrasts_of(study: Study, shares: Shares) -> tuple[Contrast, ...]:
    """Return the contrasts of all pairs with a directed path: at most AT_MOST, a public sample.

    Contrasts compare two levels on the mean of the outcome's scores. A network with fewer than
    AT_LEAST of them is also asked for the probability of each level of outcomes with more than
    two. A sample covers as many pairs as it can before it takes a second contrast of any.
    """
    pool = [found for pair in _pairs(study) for found in _means(study, shares, *pair)]
    if len(pool) < AT_LEAST:
        pool += [found for contrast in pool for found in _levels(study, contrast)]
    return tuple(pool) if len(pool) <= AT_MOST else _sampled(pool)


def unit_scores(variable: Variable) -> tuple[float, ...]:
    """Return the scores of a variable's codes brought to [0, 1]; nan for codes without one."""
    scores = [np.nan if score is None else float(score) for score in variable.scores]
    low, high = np.nanmin(scores), np.nanmax(scores)
    return tuple(float((score - low) / (high - low)) for score in scores)


def _pairs(study: Study) -> Iterator[tuple[str, str]]:
    graph = study.causal_graph
    for treatment in graph.nodes:
        reached = graph.descendants(treatment)
        yield from ((treatment, outcome) for outcome in graph.nodes if outcome in reached)


def _means(study: Study, shares: Shares, treatment: str, outcome: str) -> Iterator[Contrast]:
    (common,) = np.nonzero(shares[treatment] >= RAREST_SHARE - 1e-9)
    scores = unit_scores(study.variables[outcome])
    for reference, treated in combinations(common.tolist(), 2):
        yield Contrast(treatment, outcome, treated, reference, scores)


def _levels(study: Study, mean: Contrast) -> Iterator[Contrast]:
    size = study.variables[mean.outcome].size
    for level in range(size) if size > 2 else ():
        scores = tuple(float(code == level) for code in range(size))
        yield Contrast(mean.treatment, mean.outcome, mean.treated, mean.reference, scores)


def _sampled(pool: Sequence[Contrast]) -> tuple[Contrast, ...]:
    turns: dict[tuple[str, str], int] = {}
    ranked = []
    for place in np.random.default_rng(SEED).permutation(len(pool)).tolist():
        pair = pool[place].treatment, pool[place].outcome
        turns[pair] = turns.get(pair, 0) + 1
        ranked.append((turns[pair], place))  # stable: within a turn, in the order of chance
    chosen = sorted(ranked, key=lambda one: one[0])[:AT_MOST]
    return tuple(pool[place] for place in sorted(place for _, place in chosen))
