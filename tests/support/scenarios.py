"""Made-up hospitals with known effects, for rounds over real processes."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.random import Generator, default_rng

from deploy.demo.consortium import Scenario

STUDIES = Path(__file__).parents[1] / "e2e" / "studies"
BUDGET: Mapping[str, float] = MappingProxyType({"epsilon": 4.0, "delta": 1e-6})
PERSONS = 4000  # of one site
HEIGHT_ON_WEIGHT = 0.9  # kg per cm
HAZARD_RATIO = 0.5
RATE_RATIO = 2.0  # of visits


def mixed_records(persons: int, generator: Generator) -> pd.DataFrame:
    """Return persons of the mixed study, as a hospital would hold them."""
    male = generator.integers(2, size=persons)
    age = generator.uniform(20, 80, persons)
    height = generator.normal(163 + 13 * male, 7)
    noise = generator.normal(0, 9, persons)
    weight = 75 + HEIGHT_ON_WEIGHT * (height - 170) + 0.1 * (age - 50) + noise
    bmi = weight / (height / 100) ** 2
    stage = np.clip(generator.integers(3, size=persons) + (age > 60) - 1, 0, 2)
    chance = 1 / (1 + np.exp(-(-1 + 0.7 * stage + 0.05 * (bmi - 25))))
    treated = generator.random(persons) < chance
    lab = np.exp(generator.normal(0.5 + 0.02 * (age - 50), 1.0))
    lab[generator.random(persons) < 0.1 + 0.2 * (age > 60)] = np.nan
    hazard = 0.2 * HAZARD_RATIO**treated * 1.3**stage
    event = generator.exponential(1 / hazard)
    end = np.minimum(generator.exponential(8, persons), 5.0)
    return pd.DataFrame(
        {
            "person": np.arange(persons),
            "sex": np.where(male == 1, "M", "F"),
            "age": age,
            "height": height,
            "weight": weight,
            "treated": treated.astype(int),
            "lab": lab,
            "visits": generator.poisson(np.exp(0.01 * (age - 50)) * RATE_RATIO**treated),
            "stage": np.array(["early", "middle", "late"])[stage],
            "years": np.minimum(event, end),
            "relapsed": np.where(event <= end, "yes", "no"),
        }
    )


def longitudinal_records(persons: int, generator: Generator) -> pd.DataFrame:
    """Return one row per person and visit; some persons leave before the last visit."""
    male = generator.integers(2, size=persons)
    marker = generator.integers(3, size=persons)
    treated = generator.random(persons) < 0.2 + 0.2 * marker
    stays = np.ones(persons, dtype=bool)
    visits = []
    for visit in range(4):
        if visit:
            step = generator.random(persons)
            up, down = 0.25 - 0.15 * treated + 0.05 * male, 0.15 + 0.3 * treated
            marker = np.clip(marker + (step < up) - (step > 1 - down), 0, 2)
            treated = generator.random(persons) < 0.1 + 0.2 * marker + 0.3 * treated
            stays &= generator.random(persons) > 0.05
        rows = {
            "person": np.arange(persons),
            "visit": visit,
            "sex": np.where(male == 1, "M", "F"),
            "marker": np.array(["low", "middle", "high"])[marker],
            "treated": treated.astype(int),
        }
        visits.append(pd.DataFrame(rows)[stays])
    return pd.concat(visits, ignore_index=True)


_SEX = {"values": {"F": "female", "M": "male"}}
MIXED = Scenario(
    study=STUDIES / "mixed.toml",
    deal=lambda sites: [mixed_records(PERSONS, default_rng(site)) for site in range(sites)],
    unit_column="person",
    mapping={
        "sex": _SEX,
        "relapse": {
            "time": "years",
            "event": "relapsed",
            "values": {"yes": "event", "no": "censored"},
        },
    },
    budget=BUDGET,
)
LONGITUDINAL = Scenario(
    study=STUDIES / "longitudinal.toml",
    deal=lambda sites: [longitudinal_records(PERSONS, default_rng(site)) for site in range(sites)],
    unit_column="person",
    mapping={"sex": _SEX},
    budget=BUDGET,
    data={"visit_column": "visit"},
)


def always_against_never(persons: int = 400_000) -> float:
    """Return the true effect of treating at every visit on the marker's rank at the last."""
    return _marker_when(persons, treated=True) - _marker_when(persons, treated=False)


def _marker_when(persons: int, *, treated: bool) -> float:
    generator = default_rng(99)
    male, marker = generator.integers(2, size=persons), generator.integers(3, size=persons)
    for _ in range(3):
        step = generator.random(persons)
        up, down = 0.25 - 0.15 * treated + 0.05 * male, 0.15 + 0.3 * treated
        marker = np.clip(marker + (step < up) - (step > 1 - down), 0, 2)
    return float(marker.mean())
