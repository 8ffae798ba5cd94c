"""The ALARM network as a study, and records drawn from it: 37 variables, families of up to 5.

Structure and domains: Beinlich, Suermondt, Chavez, Cooper 1989. The probabilities are drawn
anew, from a fixed seed: a benchmark needs the shape of the tables, not medicine.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from protocol.study.document import parse_study
from protocol.study.study import Study

SEED = 20_240_611
CHUNK_ROWS = 250_000

_LEVELS = ("TRUE", "FALSE", "ZERO", "LOW", "NORMAL", "HIGH", "ESOPHAGEAL", "ONESIDED")
_BY_LETTER = {level[0]: level for level in _LEVELS}
_NETWORK = """
HYPOVOLEMIA TF
LVFAILURE TF
ERRLOWOUTPUT TF
ERRCAUTER TF
INSUFFANESTH TF
ANAPHYLAXIS TF
KINKEDTUBE TF
FIO2 LN
PULMEMBOLUS TF
INTUBATION NEO
DISCONNECT TF
MINVOLSET LNH
HISTORY TF LVFAILURE
LVEDVOLUME LNH HYPOVOLEMIA LVFAILURE
STROKEVOLUME LNH HYPOVOLEMIA LVFAILURE
CVP LNH LVEDVOLUME
PCWP LNH LVEDVOLUME
TPR LNH ANAPHYLAXIS
PAP LNH PULMEMBOLUS
SHUNT NH INTUBATION PULMEMBOLUS
VENTMACH ZLNH MINVOLSET
VENTTUBE ZLNH DISCONNECT VENTMACH
PRESS ZLNH INTUBATION KINKEDTUBE VENTTUBE
VENTLUNG ZLNH INTUBATION KINKEDTUBE VENTTUBE
MINVOL ZLNH INTUBATION VENTLUNG
VENTALV ZLNH INTUBATION VENTLUNG
PVSAT LNH FIO2 VENTALV
ARTCO2 LNH VENTALV
SAO2 LNH PVSAT SHUNT
EXPCO2 ZLNH ARTCO2 VENTLUNG
CATECHOL NH ARTCO2 INSUFFANESTH SAO2 TPR
HR LNH CATECHOL
HRBP LNH ERRLOWOUTPUT HR
HREKG LNH ERRCAUTER HR
HRSAT LNH ERRCAUTER HR
CO LNH HR STROKEVOLUME
BP LNH CO TPR
"""


@dataclass(frozen=True, slots=True)
class Node:
    """One variable of the network; parents stand before their children."""

    name: str
    levels: tuple[str, ...]
    parents: tuple[str, ...]


def nodes() -> tuple[Node, ...]:
    """Return the 37 nodes in topological order, with 46 arrows in all."""
    rows = [line.split() for line in _NETWORK.strip().splitlines()]
    return tuple(
        Node(name, tuple(_BY_LETTER[letter] for letter in letters), tuple(parents))
        for name, letters, *parents in rows
    )


def alarm_study() -> Study:
    """Return a study of all families of the network."""
    variables = "".join(
        f'[variables.{node.name}]\nkind = "categorical"\nlevels = {_texts(node.levels)}\n'
        for node in nodes()
    )
    edges = _texts(tuple(f"{cause} -> {node.name}" for node in nodes() for cause in node.parents))
    return parse_study(
        'format = "concause-study/1"\nname = "alarm"\ntitle = "ALARM"\nauthor = "Bench"\n'
        "expires = 2099-12-31\nbudget = { epsilon = 1, delta = 1e-6 }\n"
        "cohort = { n_min = 3, tolerated_colluders = 0, threshold = 3 }\n"
        f'trust = {{ aggregation = "masking" }}\ngraph = {{ edges = {edges} }}\n{variables}'
    )


def write_records(path: Path, rows: int) -> None:
    """Write `rows` records as Parquet, levels as text, in chunks of bounded memory."""
    rng = np.random.default_rng(SEED)
    tables = {node.name: _cumulative(rng, node) for node in nodes()}
    schema = pa.schema([(node.name, pa.string()) for node in nodes()])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, CHUNK_ROWS):
            codes = _drawn(rng, tables, min(CHUNK_ROWS, rows - start))
            writer.write_table(_labelled(codes, schema))


def _texts(values: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


def _cumulative(rng: np.random.Generator, node: Node) -> NDArray[np.float64]:
    sizes = {other.name: len(other.levels) for other in nodes()}
    weights = rng.dirichlet(
        np.full(len(node.levels), 0.7), size=[sizes[parent] for parent in node.parents]
    )
    return np.cumsum(weights, axis=-1)[..., :-1]


def _drawn(
    rng: np.random.Generator, tables: dict[str, NDArray[np.float64]], rows: int
) -> dict[str, NDArray[np.int8]]:
    codes: dict[str, NDArray[np.int8]] = {}
    for node in nodes():
        limits = tables[node.name][tuple(codes[parent] for parent in node.parents)]
        codes[node.name] = (rng.random((rows, 1)) > limits).sum(axis=-1, dtype=np.int8)
    return codes


def _labelled(codes: dict[str, NDArray[np.int8]], schema: pa.Schema) -> pa.Table:
    levels = {node.name: list(node.levels) for node in nodes()}
    columns = {
        name: pa.DictionaryArray.from_arrays(pa.array(column), levels[name]).cast(pa.string())
        for name, column in codes.items()
    }
    return pa.table(columns, schema=schema)
