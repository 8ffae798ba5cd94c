"""What a measurement asks of a site's records: counts over public domains, nothing else.

Every implementation answers with the same integers; `tests/conformance` holds them to it.
"""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.study.graph import Clique

Counts: TypeAlias = NDArray[np.int64]  # shape: one axis per variable of the clique, in its order


class CountSource(Protocol):
    """Records of one site, encoded to the study's domain and bounded per unit."""

    def counts(self, cliques: Sequence[Clique]) -> dict[Clique, Counts]:
        """Return the dense contingency table of each clique, zeros included.

        A record counts in every table or in none (SPEC 9.1): one with a value that has no code,
        undeclared without OTHER or missing without MISSING, is in none. A unit contributes at
        most the study's `max_rows_per_unit` records. The table of the empty clique has no axis
        and holds the number of records.

        Raises:
            UsageError: the site's files or mapping do not fit the study.
            StorageError: the files cannot be read to the end.
        """
        ...
