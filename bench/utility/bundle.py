"""Networks with known parameters as pgmpy bundles them, read into arrays.

Source: the Bayesian network repository (Scutari 2010).
"""

import gzip
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class DiscreteNode:
    """One mechanism: P(name | parents), axes in the order of `parents`, then the node."""

    name: str
    levels: tuple[str, ...]
    parents: tuple[str, ...]
    table: Table


@dataclass(frozen=True, slots=True)
class GaussianNode:
    """One mechanism: name = intercept + sum of slope x parent + N(0, variance)."""

    name: str
    intercept: float
    slopes: Mapping[str, float]
    variance: float


def discrete_nodes(name: str) -> tuple[DiscreteNode, ...]:
    """Return the nodes of a discrete network, names cleaned for a study."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pgmpy announces renamed modules on import
        from pgmpy.readwrite import BIFReader  # noqa: PLC0415 - slow, and only needed here

        text = gzip.decompress(_bundled(f"{name}.bif.gz")).decode()
        model = BIFReader(string=text).get_model()
    return tuple(_discrete(cpd) for cpd in model.get_cpds())


def gaussian_nodes(name: str) -> tuple[GaussianNode, ...]:
    """Return the nodes of a linear Gaussian network, names cleaned for a study."""
    mechanisms = json.loads(_bundled(f"{name}.json"))["cpds"]
    return tuple(
        GaussianNode(
            name=_clean(node),
            intercept=found["coefficients"]["(Intercept)"][0],
            slopes={_clean(cause): found["coefficients"][cause][0] for cause in found["parents"]},
            variance=found["variance"][0],
        )
        for node, found in mechanisms.items()
    )


def _discrete(cpd: Any) -> DiscreteNode:  # noqa: ANN401 - pgmpy has no types
    node, *parents = cpd.variables
    table = np.moveaxis(np.asarray(cpd.values, dtype=np.float64), 0, -1)
    return DiscreteNode(
        name=_clean(node),
        levels=tuple(cpd.state_names[node]),
        parents=tuple(map(_clean, parents)),
        table=table / table.sum(axis=-1, keepdims=True),
    )


def _clean(name: str) -> str:
    """Return a name by the study's rules (`protocol/study/quantities.py`)."""
    found = re.sub(r"[^A-Za-z0-9_.]", "_", name)
    return found if re.match(r"[A-Za-z_]", found) else f"n{found}"


def _bundled(file: str) -> bytes:
    (found,) = (one for one in _walk(files("pgmpy")) if one.name == file)
    return bytes(found.read_bytes())


def _walk(folder: Any) -> Iterator[Any]:  # noqa: ANN401 - importlib's Traversable, recursively
    for one in folder.iterdir():
        yield from _walk(one) if one.is_dir() else (one,)
