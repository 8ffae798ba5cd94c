"""Noisy tables of all families of one population, as mechanisms are fitted to them.

1. Noisy residual tables become coordinates with independent noise of known variance (contrasts).
2. Non-negative tables of all families that agree with each other give row totals and every
   child's own distribution (consistency).
3. Each family keeps its unbiased noisy table beside its consistent one; which is used for what
   is for `blend` to say.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from protocol.study.families import Family
from protocol.study.study import Study
from protocol.study.variables import Ordinal
from server.estimation.combination import combined
from server.estimation.consistency import consistent_tables
from server.estimation.contrasts import Reals, family_map, layout_of
from server.estimation.evidence import NoisySum
from server.estimation.family import NoisyFamily, Possible, base_distribution


def noisy_families(
    study: Study, noisy: NoisySum, earlier: Sequence[NoisySum] = ()
) -> Mapping[str, NoisyFamily]:
    """Return the family of every column that is fitted to tables of `noisy.population`.

    Raises:
        UsageError: an earlier sum cannot be combined with this one (combination).
    """
    families = [
        family
        for family in study.families
        if family.mechanism.uses == "table" and family.population == noisy.population
    ]
    if not families:
        return {}
    sizes = {name: study.variable(name).size for family in families for name in family.clique}
    layout = layout_of(noisy, sizes)
    observed, variance = combined([noisy, *earlier], layout)
    maps = [family_map(family.clique, layout) for family in families]
    possible = [_possible(study, family) for family in families]
    consistent = consistent_tables(maps, observed, variance, possible)
    return {
        family.node: _noisy_family(
            table,
            one.table(observed),
            one.cell_variance(variance),
            _scores(study, family),
            float(family_map((family.node,), layout).cell_variance(variance).mean()),
            mask,
        )
        for family, one, table, mask in zip(families, maps, consistent, possible, strict=True)
    }


def _possible(study: Study, family: Family) -> Possible | None:
    """Return which measured cells can be: what a study rules out, it rules out in the model."""
    declared = study.possible(family)
    if declared is None:
        return None
    found = np.ones(study.sizes(family.clique), dtype=np.bool_)
    found[tuple(slice(size) for size in declared.shape)] = declared
    return found


def _noisy_family(
    consistent: Reals,
    noisy: Reals,
    variances: Reals,
    scores: tuple[float | None, ...] | None,
    own_variance: float,
    possible: Possible | None,
) -> NoisyFamily:
    """Return one family; arrays have the family's shape, `own_variance` is the child's table's."""
    codes = consistent.shape[-1]
    rows, by_contrast = consistent.reshape(-1, codes), variances.reshape(-1, codes)
    return NoisyFamily(
        table=noisy.reshape(-1, codes),
        totals=rows.sum(axis=1),
        base=base_distribution(rows.sum(axis=0), own_variance),
        parent_sizes=consistent.shape[:-1],
        contrast_variance=float(by_contrast[:, 1:].mean()),
        total_variance=codes * float(by_contrast[:, 0].mean()),
        scores=scores,
        consistent=rows,
        possible=None if possible is None else possible.reshape(-1, codes),
    )


def _scores(study: Study, family: Family) -> tuple[float | None, ...] | None:
    """Return the scores of a node whose order the study gives meaning to, else None."""
    variable = study.variable(family.node)
    ordered = isinstance(variable, Ordinal) or family.mechanism.kind == "binned"
    if not ordered or family.mechanism.kind == "categorical":
        return None
    scores = tuple(None if score is None else float(score) for score in variable.scores)
    return scores if sum(score is not None for score in scores) > 1 else None
