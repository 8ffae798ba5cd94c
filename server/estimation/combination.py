"""Several rounds over the same records, read as one: inverse-variance weighting.

The rounds' coordinates have the same truth and independent noise of known variance, so that their
average weighted by 1 / variance is the best unbiased one, and has variance 1 / sum of 1 / variance.
True only if all sums hold the same sites with the same records: a caller compares the names of the
sites, and sites are asked to leave their records alone in between; here is what numbers can show.
"""

from collections.abc import Sequence

from protocol.errors import UsageError
from protocol.study.study import Study
from server.estimation.contrasts import Coordinates, Layout, coordinates_of
from server.estimation.evidence import NoisySum


def combined(sums: Sequence[NoisySum], layout: Layout) -> tuple[Coordinates, Coordinates]:
    """Return the coordinates of one or more sums taken together, and their variances.

    Raises:
        UsageError: the sums measure other tables, or hold different numbers of sites.
    """
    for other in sums[1:]:
        check_alike(sums[0], other)
    values, variances = zip(*(coordinates_of(one, layout) for one in sums), strict=True)
    precision = sum(1 / variance for variance in variances)
    pulled = sum(value / variance for value, variance in zip(values, variances, strict=True))
    return pulled / precision, 1 / precision


def check_follows(study: Study, first: Study) -> None:
    """Check that the sum of `first` may be combined with that of `study`.

    Raises:
        UsageError: `study` does not name `first` as the study that it follows; or its variables,
            graph, visits or unit are others, so that the two do not count the same.
    """
    if study.plan.follows != first.hash.hex():
        raise UsageError(
            "does-not-follow",
            f"Expected a study that follows {first.name!r} ({first.hash.hex()[:16]}...), found one "
            f"that follows {study.plan.follows or 'none'}.",
            'Write follows = "HASH" under [plan], with the hash that `study check` prints.',
        )
    check_same_counts(study, first)


def check_same_counts(study: Study, first: Study) -> None:
    """Check that two studies count the same things of the same units.

    Raises:
        UsageError: naming the first part in which they differ.
    """
    parts = {
        "variables": study.variables == first.variables,
        "graph": study.mixed_graph == first.mixed_graph,
        "mechanisms": study.families == first.families,
        "time": study.time == first.time,
        "unit": study.unit == first.unit,
    }
    different = [name for name, same in parts.items() if not same]
    if different:
        raise UsageError(
            "other-measures",
            f"Expected studies that count the same, found another {different[0]!r} in "
            f"{first.name!r} than in {study.name!r}.",
            "Copy that part of the study, or use the release of a study with the same one.",
        )


def check_alike(first: NoisySum, other: NoisySum) -> None:
    """Check that two sums hold the same statistics of equally many sites.

    Raises:
        UsageError: they measure something else, or hold different numbers of sites.
    """
    mine, others = (
        [
            (block.kind, block.population, block.clique, block.shape, block.unit)
            for block in one.plan.blocks
        ]
        for one in (first, other)
    )
    if mine != others:
        raise UsageError(
            "other-measures",
            "Expected sums of the same statistics, found another graph, domain or mechanism.",
            "Combine rounds of studies with the same variables, graph and mechanisms only.",
        )
    if first.contributors != other.contributors:
        raise UsageError(
            "other-survivors",
            f"Expected sums over the same sites, found {other.contributors} and "
            f"{first.contributors} of them.",
            "Use the later round alone, or repeat it with the sites of the earlier one.",
        )
