"""How large a plan may be: refused at the study, not found out at a site.

A sum stays far from the edge of int64, with room for 2^33 units and for noise beyond belief.
"""

from fractions import Fraction
from math import isqrt, prod

from protocol.errors import UsageError
from protocol.study.graph import Clique
from protocol.study.study import Study

MAX_FAMILY_CELLS = 2**20
MAX_PLAN_CELLS = 2**24
MAX_UNITS = 2**33  # more than there are people
MAX_SUM = 2**62  # of the absolute value of one element
MAX_SCORE = 2**50  # of a sum of scores, which leaves room to compare 64 of them
MAX_NARROW_SUM = 2**31  # below this a sum survives modulo 2^32
MAX_SITE_SCALE = 2**37  # with 16 binary digits behind the point, still exactly a float
NOISE_DEVIATIONS = 64


def check_family(family: Clique, sizes: tuple[int, ...]) -> None:
    """Check the table of one family, before its subsets are listed.

    Raises:
        UsageError: more than 2^20 cells, or more than 2^24 in all subsets together.
    """
    cells = prod(sizes)
    if cells > MAX_FAMILY_CELLS:
        raise UsageError(
            "family-too-large",
            f"Expected at most {MAX_FAMILY_CELLS} cells for the family of {family[-1]!r}, "
            f"found {cells}.",
            "Give it fewer parents, or its variables fewer levels.",
        )
    check_length(prod(size + 1 for size in sizes))


def check_length(cells: int) -> None:
    """Check the length of the flat vector, or of what is known of it so far.

    Raises:
        UsageError: more than 2^24 cells.
    """
    if cells > MAX_PLAN_CELLS:
        raise UsageError(
            "plan-too-large",
            f"Expected a plan of at most {MAX_PLAN_CELLS} cells, found at least {cells}.",
            "Give nodes fewer parents, or variables fewer levels.",
        )


def check_scale(clique: Clique, scale: Fraction) -> None:
    """Check that every sampler can be given the noise scale without rounding it.

    Raises:
        UsageError: the scale is 2^37 or more.
    """
    if scale >= MAX_SITE_SCALE:
        raise UsageError(
            "noise-scale-too-large",
            f"Expected noise of a scale below 2^37 per site, found more for {shown(clique)}: "
            "nothing could be learned through it.",
            "Write a larger epsilon or rho, or lower max_rows_per_unit.",
        )


def rows_in_all(study: Study) -> int:
    """Return the most rows that the sites of a study can hold together."""
    unit = study.unit
    if unit.max_rows_per_site is not None:
        return study.cohort.most_sites * unit.max_rows_per_site
    return MAX_UNITS * unit.max_rows_per_unit


def largest_sum(study: Study, largest: int, scale: Fraction) -> Fraction:
    """Return what no element of a sum exceeds in size; noise could, with chance below 2^-2900.

    `largest` is the most that one row adds to an element. The noise of n sites is sub-Gaussian
    with variance n scale^2, as each discrete Gaussian is with scale^2 (Canonne, Kamath, Steinke
    2020); so it passes 64 deviations with a chance of at most 2 exp(-2048).
    """
    deviations = NOISE_DEVIATIONS * (isqrt(study.cohort.most_sites - 1) + 1)
    return rows_in_all(study) * largest + deviations * scale


def check_overflow(clique: Clique, most: Fraction, *, of_scores: bool = False) -> None:
    """Check that no element of a sum, nor a product on the way to it, can leave int64.

    Raises:
        UsageError: `most`, by `largest_sum`, is 2^62 or above; 2^50, of scores.
    """
    if most >= (MAX_SCORE if of_scores else MAX_SUM):
        raise UsageError(
            "sum-could-overflow",
            f"Expected sums below 2^{50 if of_scores else 62} for all rows that the study allows, "
            f"found that those of {shown(clique)} could exceed them.",
            "Lower max_rows_per_unit or max_rows_per_site, or give its variables fewer levels.",
        )


def shown(clique: Clique) -> str:
    """Return the name of a block in a message."""
    return " x ".join(clique) or "the row count"
