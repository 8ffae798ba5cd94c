"""How large a plan may be: refused at the study, not found out at a site.

A sum stays far from the edge of int64, with room for 2^33 units and for noise beyond belief.
"""

from fractions import Fraction
from math import prod

from protocol.errors import UsageError
from protocol.study.graph import Clique

MAX_FAMILY_CELLS = 2**20
MAX_PLAN_CELLS = 2**24
MAX_UNITS = 2**33  # more than there are people
MAX_SUM = 2**62  # of the absolute value of one element
MAX_SITE_SCALE = 2**37  # with 16 binary digits behind the point, still exactly a float
NOISE_DEVIATIONS = 64
NOISE_SITES = 200


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


def check_overflow(clique: Clique, largest: int, row_bound: int, scale: Fraction) -> None:
    """Check that no element of a sum, nor a product on the way to it, can leave int64.

    `largest` is the most, in size, that one row adds to an element.

    Raises:
        UsageError: with 2^33 units, or with 64 noise deviations at each of 200 sites, it could.
    """
    most = MAX_UNITS * row_bound * largest
    if most + NOISE_SITES * NOISE_DEVIATIONS * scale >= MAX_SUM:
        raise UsageError(
            "sum-could-overflow",
            f"Expected sums below 2^62 for up to 2^33 units, found that those of "
            f"{shown(clique)} could exceed them.",
            "Lower max_rows_per_unit, or give its variables fewer levels.",
        )


def shown(clique: Clique) -> str:
    """Return the name of a block in a message."""
    return " x ".join(clique) or "the row count"
