"""Functions that say what a node is set to, good and bad, for tests of agents."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Column: TypeAlias = NDArray[Any]


def young(age: Column) -> Column:
    return age < 50


def stage_by_smoking(smoker: Column, sex: Column) -> Column:
    return np.where(np.isnan(smoker), "MISSING", np.where(sex == "male", "I", "II"))


def dose_for(pressure: Column, treated: Column) -> Column:
    return 2.0 + treated + 0.01 * pressure


def lower(load: Column) -> Column:
    return load < 2


def before(cd4: Column) -> Column:
    return np.nan_to_num(cd4, nan=0.0) < 350


def by_rank(age: Column) -> Column:
    return np.asarray(age > np.median(age))


def by_chance(age: Column) -> Column:
    return np.random.default_rng().random(len(age)) < 0.5


def by_neighbour(age: Column) -> Column:
    return np.roll(age, 1) < 50


def that_writes(age: Column) -> Column:
    age[:] = 0
    return age


def that_fails(age: Column) -> Column:
    raise ValueError(f"no such patient among {len(age)}")


def too_short(age: Column) -> Column:
    return age[:1]


def unknown_level(sex: Column) -> Column:
    return np.full(len(sex), "IV")


def texts(age: Column) -> Column:
    return np.full(len(age), "yes")


NOT_A_FUNCTION = 3
