"""The demonstration's study of NHEFS as a release, played without processes; the same each time."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from numpy.random import default_rng
from numpy.typing import NDArray

from deploy.demo.nhefs import NHEFS
from protocol.privacy.plan import StatisticsPlan
from protocol.privacy.residuals import residual_table
from protocol.study.study import Study
from protocol.study.variables import Numeric
from tests.support.release_folders import write
from tests.support.release_rounds import play_round

SITES = ("east", "north", "south")


def write_nhefs_release(folder: Path) -> None:
    """Write the release of a round of three hospitals."""
    write(folder, play_round(NHEFS.study.read_text(encoding="utf-8"), sites=SITES, vector=_vector))


def _vector(study: Study, plan: StatisticsPlan, name: str, _: int) -> NDArray[np.int64]:
    """Return a hospital's statistics, with rounded noise."""
    records = NHEFS.deal(len(SITES))[SITES.index(name)]
    codes = {node: _codes(study, node, records) for node in study.variables}
    generator = default_rng(list(name.encode()))
    vector = np.zeros(plan.length, dtype=np.int64)
    for block in plan.blocks:
        counts = np.zeros(block.shape, dtype=np.int64)
        np.add.at(counts, tuple(codes[node] for node in block.clique), 1)
        exact = residual_table(counts if block.clique else np.asarray(np.int64(len(records))))
        noise = np.rint(generator.normal(0, float(block.site_scale), block.size)).astype(np.int64)
        vector[block.span] = exact.ravel() + noise
    return vector


def _codes(study: Study, node: str, records: pd.DataFrame) -> NDArray[np.intp]:
    variable = study.variables[node]
    if isinstance(variable, Numeric):
        edges = [float(edge) for edge in variable.edges]
        places = np.searchsorted(edges, records[node].to_numpy(), side="right") - 1
        return np.clip(places, 0, len(edges) - 2)
    mapping = cast("Mapping[str, Mapping[str, str]]", NHEFS.mapping.get(node, {}))
    levels = mapping.get("values", {})
    labels = [levels.get(str(int(value)), str(int(value))) for value in records[node]]
    return np.array([variable.labels.index(label) for label in labels])
