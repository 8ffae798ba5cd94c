"""The NHEFS data, dealt out to sites as each hospital would hold its own part."""

from pathlib import Path

import numpy as np
import pandas as pd
from causaldata import nhefs_complete

from deploy.demo.consortium import Scenario

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


# How these hospitals code what the study names; each site has a mapping of its own.
_LEVELS = {
    "sex": {"0": "male", "1": "female"},
    "race": {"0": "white", "1": "black or other"},
    "education": {
        "1": "8th grade or less",
        "2": "some high school",
        "3": "high school",
        "4": "some college",
        "5": "college",
    },
    "exercise": {"0": "much", "1": "moderate", "2": "little or none"},
}
NHEFS = Scenario(
    study=Path(__file__).with_name("nhefs.toml"),
    deal=deal,
    unit_column="seqn",
    mapping={name: {"values": values} for name, values in _LEVELS.items()},
    budget={"epsilon": 3.0, "delta": 1e-6},
)
