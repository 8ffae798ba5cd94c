"""Scores by cell of the grid, kept in files so that an interrupted run resumes.

A kept score counts as long as the sources that it depends on have not changed by a byte.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from bench.utility.measures import Score

ROOT = Path(__file__).parents[2]
FOLDER = Path("build/utility/cells")
SHARED = tuple(
    f"bench/utility/{name}.py"
    for name in (
        *("answer", "bundle", "effects", "gaussian", "measures", "networks"),
        *("questions", "studies", "world"),
    )
)  # what every score depends on


@dataclass(frozen=True, slots=True)
class Cell:
    """One place of the grid."""

    world: str
    rows: int
    epsilon: float
    arm: str
    seed: int


Results: TypeAlias = Mapping[Cell, Score]


def kept_or_made(
    cell: Cell, sources: Iterable[str], make: Callable[[], Score], folder: Path = FOLDER
) -> Score:
    """Return the kept score of a cell, or make and keep it."""
    digest = digest_of((*SHARED, *sources))
    path = folder / f"{_slug(cell)}.json"
    if path.exists():
        document = json.loads(path.read_text())
        if document["digest"] == digest:
            return Score.from_json(document["score"])
    made = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    document = {"cell": asdict(cell), "digest": digest, "score": made.to_json()}
    unfinished.write_text(json.dumps(document, indent=1) + "\n")
    unfinished.rename(path)
    return made


@lru_cache
def digest_of(sources: tuple[str, ...], root: Path = ROOT) -> str:
    """Return a hash of the Python files named by `sources`: files, or folders with all below."""
    files: set[Path] = set()
    for source in sources:
        path = root / source
        files |= set(path.rglob("*.py")) if path.is_dir() else {path}
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _slug(cell: Cell) -> str:
    text = f"{cell.world}-{cell.rows}-{cell.epsilon:g}-{cell.arm}-{cell.seed}"
    return re.sub(r"[^A-Za-z0-9.]+", "-", text)
