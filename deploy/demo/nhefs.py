"""The NHEFS data, dealt out to sites as each hospital would hold its own part."""

from pathlib import Path

import numpy as np
import pandas as pd
from causaldata import nhefs_complete

COLUMNS = [
    *("seqn", "qsmk", "sex", "race", "age", "education"),
    *("smokeintensity", "exercise", "wt71", "wt82_71"),
]
DEALING_SEED = 1971


def deal(sites: int) -> list[pd.DataFrame]:
    """Return the 1,566 persons dealt out at random to hospitals of unequal size.

    The codes stay as the survey wrote them; each site's mapping turns them into the
    study's levels.
    """
    records: pd.DataFrame = nhefs_complete.load_pandas().data[COLUMNS]
    generator = np.random.default_rng(DEALING_SEED)
    weights = np.arange(sites + 2, 2, -1, dtype=float)
    owner = generator.choice(sites, size=len(records), p=weights / weights.sum())
    return [records[owner == site].reset_index(drop=True) for site in range(sites)]


def write_private(records: pd.DataFrame, path: Path) -> None:
    """Write a Parquet file that only its owner may read, in a folder closed to others."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    records.to_parquet(path, index=False)
    path.chmod(0o600)
