"""How rows are drawn: compiled or by numpy, on how many threads, in which pieces. No byte differs.

Kernels are compiled when they are first used, which takes seconds, and kept on disk: so "auto"
leaves small samples to numpy.
"""

import importlib.util
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, TypeAlias, get_args

from protocol.errors import UsageError
from protocol.study.problems import either
from server.causal.sampling.noise import ROWS_PER_BLOCK

Path: TypeAlias = Literal["auto", "numba", "numpy"]

CHUNK_ROWS = 16_384  # of one node fit the second-level cache together with its noise
_WORTH_COMPILING = 2**26  # cells, nodes x rows


@dataclass(frozen=True, slots=True)
class Engine:
    """What draws a world.

    Raises:
        UsageError: an unknown path, one that is not installed, no thread, or chunks that are no
            multiple of 8 rows.
    """

    path: Path = "auto"
    threads: int = 1
    chunk_rows: int = CHUNK_ROWS

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.path not in get_args(Path):
            expected = f"Expected {either(get_args(Path))} as path, found {self.path!r}."
            raise UsageError("unknown-path", expected, "auto takes numba where it is worth it.")
        if self.path == "numba" and not has_kernels():
            raise UsageError(
                "no-numba",
                "Expected numba for compiled kernels, found none installed.",
                "Install concause[fast], or take the path auto or numpy: all give the same bytes.",
            )
        if self.threads < 1:
            found = f"Expected at least 1 thread, found {self.threads}."
            raise UsageError("threads-out-of-range", found, "Write the number of cores.")
        if self.chunk_rows < 1 or self.chunk_rows % ROWS_PER_BLOCK:
            raise UsageError(
                "chunk-out-of-range",
                f"Expected chunks of a multiple of {ROWS_PER_BLOCK} rows, found {self.chunk_rows}.",
                f"{CHUNK_ROWS} is a good one.",
            )

    def resolved(self, cells: int) -> "Engine":
        """Return the engine for a world of so many cells, drawn in whatever pieces."""
        return replace(self, path="numba" if self.is_compiled(cells) else "numpy")

    def is_compiled(self, cells: int) -> bool:
        """Return whether a world of so many cells, nodes x rows, is drawn by compiled kernels."""
        if self.path == "auto":
            return cells >= _WORTH_COMPILING and has_kernels()
        return self.path == "numba"


@cache
def has_kernels() -> bool:
    """Return whether numba is installed."""
    return importlib.util.find_spec("numba") is not None
