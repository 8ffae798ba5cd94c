"""What a measurement asks of a site's records: sums of integers over public domains, nothing else.

Every implementation answers with the same integers; `tests/conformance` holds them to it.

A record counts in every sum or in none (SPEC 9.1): one with a value that has no code, undeclared
without OTHER or missing without MISSING, is in none. A unit contributes at most the study's
`max_rows_per_unit` records; in a longitudinal study, one per visit.

Columns are variables of the study; in a longitudinal one static variables, "x[0]" of the first
visit, and "x[t]" and "x[t-1]" of transitions (protocol/study/time.py).
"""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.study.families import Family, Population
from protocol.study.graph import Clique

Counts: TypeAlias = NDArray[np.int64]  # shape: one axis per column of the clique, in its order


class CountSource(Protocol):
    """Records of one site, encoded to the study's domain and bounded per unit.

    All methods raise:
        UsageError: the site's files or mapping do not fit the study.
        StorageError: the files cannot be read to the end.
    """

    def counts(
        self, cliques: Sequence[Clique], population: Population = "units"
    ) -> dict[Clique, Counts]:
        """Return the dense contingency table of each clique, zeros included.

        The table of the empty clique has no axis and holds the number of records. A transition
        counts as its weight: those of a unit together as `transition_unit`.
        """
        ...

    def histograms(self, columns: Sequence[str]) -> dict[str, Counts]:
        """Return how many numbers of units' rows lie in each part of the bins of each column.

        Shape (parts,), in the order of `Numeric.part_edges`; missing numbers are in none.
        """
        ...

    def moments(self, family: Family) -> Counts:
        """Return the moments of a family (protocol/privacy/moments.py), transitions weighted.

        Shape (sizes of its row parents .., elements). Rows in which its node or a regressor is
        missing are left out.
        """
        ...
