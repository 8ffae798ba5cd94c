"""Reasons to doubt a mechanism that the released numbers show by themselves.

Each is a value, kept in the model and printed in its report: bad input ends in a wide interval
with its reason, never in a silent number. What is not seen here: how many values a site clamped
(the site sees it for itself), unless they pile up or do not fit the mechanism.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from scipy import special

from protocol.study.families import Family
from protocol.study.study import Study
from protocol.study.time import base_name
from protocol.study.variables import Numeric
from server.causal.mechanisms.mechanism import Caution
from server.estimation.combination import combined
from server.estimation.contrasts import family_map, helmert, plan_layout
from server.estimation.evidence import NoisySum
from server.estimation.family import NoisyFamily
from server.estimation.moments import NoisyMoments
from server.estimation.placement import histogram_counts

_DEVIATIONS = 3.0  # of noise, below which a number of persons is nothing
_FEWEST_EVENTS = 5.0  # in standard deviations of their noise
_LARGEST_MISMATCH = 8.0  # in standard deviations
_MOST_BEYOND = 0.02  # share of a Gaussian outside the bounds
_PILE = 0.01  # share of the values in an outermost part that is worth a look
_TOWER = 2.0  # times what lies beside it


def table_cautions(family: Family, noisy: NoisyFamily) -> Iterator[Caution]:
    """Yield a caution if no row of a table is above the noise; the rows are all measured ones."""
    least = _DEVIATIONS * float(np.sqrt(noisy.contrast_variance))
    if float(noisy.totals.max()) < least:
        yield _rows_below_noise(family.node, several=len(noisy.totals) > 1)


def _rows_below_noise(node: str, *, several: bool) -> Caution:
    which = (
        f"No combination of the causes of {node} has" if several else f"For {node} there are not"
    )
    text = (
        f"{which} more persons than noise could feign: the mechanism is decided by the prior, with "
        "wide intervals. Ask for a larger budget, more sites, or fewer causes with fewer levels."
    )
    return Caution(node, "rows-below-noise", text)


def survival_cautions(study: Study, family: Family, sums: Sequence[NoisySum]) -> Iterator[Caution]:
    """Yield a caution if the events, over all intervals and rows, cannot be told from noise."""
    events, deviation = _events(study, family, sums)
    if events < _FEWEST_EVENTS * deviation:
        text = (
            f"Events of {family.node} cannot be told from noise: hazards and their ratios are "
            "decided by the prior. Ask for a larger budget, fewer intervals or fewer causes."
        )
        yield Caution(family.node, "few-events", text)


def _events(study: Study, family: Family, sums: Sequence[NoisySum]) -> tuple[float, float]:
    """Return the number of events, and the standard deviation of its noise."""
    populated = [replace(one, population=family.population) for one in sums]
    layout = plan_layout(sums[0].plan, family.population)
    observed, variance = combined(populated, layout)
    marginal = family_map((family.node,), layout)
    exits = study.variable(family.node).size
    happened = (np.arange(exits) < exits // 2).astype(np.float64)
    noise = (helmert(exits) @ happened) ** 2 @ marginal.cell_variance(variance)
    return float(happened @ marginal.table(observed)), float(np.sqrt(noise))


def moment_cautions(family: Family, moments: NoisyMoments) -> Iterator[Caution]:
    """Yield cautions if moments are no positive matrix above the noise, in all rows or in each."""
    gram = moments.pooled.matrices[0, :-1, :-1]
    least = float(np.linalg.eigvalsh(gram)[0])
    if least < _DEVIATIONS * np.sqrt(moments.pooled.variance):
        text = (
            f"The noise hides how the causes of {family.node} vary together: its coefficients are "
            "decided by the prior, with wide intervals. Ask for a larger budget or fewer causes, "
            "or declare bounds that the values fill."
        )
        yield Caution(family.node, "moments-below-noise", text)
    largest = float(moments.matrices[:, 0, 0].max())
    if moments.rows > 1 and largest < _DEVIATIONS * np.sqrt(moments.variance):
        yield _rows_below_noise(family.node, several=True)


def bounds_cautions(family: Family, moments: NoisyMoments) -> Iterator[Caution]:
    """Yield a caution if a Gaussian with a number's mean and variance leaves its bounds.

    Either values are clamped there, or they are too skewed for a Gaussian. Not looked at where
    noise could feign it.
    """
    [matrix] = moments.pooled.matrices
    noise = np.sqrt(moments.pooled.variance)
    total = float(matrix[0, 0])
    if total <= 0:
        return
    mean, variance = matrix[0, -1] / total, matrix[-1, -1] / total - (matrix[0, -1] / total) ** 2
    unsure = _DEVIATIONS * noise / total * np.sqrt(1 + 4 * mean**2)
    if variance <= unsure:
        return
    deviation = np.sqrt(variance)
    beyond = float(special.ndtr((-1 - mean) / deviation) + special.ndtr((mean - 1) / deviation))
    if beyond > _MOST_BEYOND:
        text = (
            f"A Gaussian with the mean and variance of {family.node} has {beyond:.0%} of its "
            "values outside the declared bounds: either values are clamped there, which draws "
            "slopes towards 0, or they are too skewed for a Gaussian. Declare wider bounds, or use "
            "a binned mechanism."
        )
        yield Caution(family.node, "values-beyond-bounds", text)


def mismatch_cautions(family: Family, mismatch: float) -> Iterator[Caution]:
    """Yield a caution if the parents, as drawn by the model, are not those of the records."""
    if mismatch > _LARGEST_MISMATCH:
        text = (
            f"The causes of {family.node}, as the mechanisms before it draw them, differ from the "
            f"released moments by {mismatch:.0f} standard deviations: its coefficients may be "
            "biased. Add the arrows that are missing between its causes."
        )
        yield Caution(family.node, "parents-mismatch", text)


def pile_cautions(study: Study, sums: Sequence[NoisySum]) -> Iterator[Caution]:
    """Yield a caution for every variable with `detail` whose values pile up at its outer edges."""
    for block in sums[0].plan.blocks:
        if block.kind != "histogram":
            continue
        counts, variance = histogram_counts(sums, block.clique)
        total, name = float(counts.sum()), base_name(block.clique[0])
        variable = study.variable(name)
        assert isinstance(variable, Numeric)  # noqa: S101 -- only these have histograms
        widths = np.diff([float(edge) for edge in variable.part_edges])
        for outer, inner, side in ((0, 1, "lowest"), (-1, -2, "highest")):
            expected = _TOWER * max(counts[inner], 0.0) * max(widths[outer] / widths[inner], 1.0)
            unsure = _DEVIATIONS * np.sqrt(variance * (1 + _TOWER**2))
            if counts[outer] > expected + unsure and counts[outer] > _PILE * total:
                yield _pile(name, side, counts[outer] / total)


def _pile(name: str, side: str, share: float) -> Caution:
    text = (
        f"About {share:.0%} of the values of {name} are in the {side} part of its bins, more than "
        "twice what lies beside it: values beyond the declared edges may be clamped there. Ask the "
        "sites what share they clamp, and declare wider edges."
    )
    return Caution(name, "values-at-the-edge", text)
