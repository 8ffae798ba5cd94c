"""Mechanisms in the model file: what each is written as, and read back from, bit for bit.

The format is described in `server/causal/files/model_file.py`. Shapes follow from the study.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.study.mechanisms import REGRESSION_KINDS
from protocol.study.study import Study
from protocol.study.variables import Survival
from server.causal.files.strict_json import Object, array, fields, list_of, refuse, same, text_of
from server.causal.mechanisms.mechanism import (
    WHOLE,
    Censoring,
    Mechanism,
    Parts,
    RegressionMechanism,
    RuleMechanism,
    Table,
    TableMechanism,
    Terms,
    at_node,
)

Document: TypeAlias = dict[str, object]
Reals: TypeAlias = NDArray[np.float64]

_ROW_TOLERANCE = 1e-9
_COMMON = ("node", "kind", "parents")
_TABLE = (*_COMMON, "table", "support", "draws")
_REGRESSION = (
    *(*_COMMON, "rows", "regressors", "response", "bounds"),
    *("coefficients", "scale", "support"),
)


def mechanism_document(mechanism: Mechanism, before: Mapping[str, Mechanism]) -> Document:
    """Return what a mechanism is written as; `before` are those that are written already."""
    head = {"node": mechanism.node, "parents": list(mechanism.parents)}
    owner = _owner(mechanism, before)
    if owner is not None:
        return _headed("shared", head, {"shared_with": owner})
    match mechanism:
        case TableMechanism():
            return _headed("table", head, _table_document(mechanism))
        case RegressionMechanism():
            return _headed("regression", head, _regression_document(mechanism))
        case RuleMechanism():
            return _headed("rule", head, {"value": mechanism.value})


def _headed(kind: str, head: Mapping[str, object], rest: Document) -> Document:
    return {"node": head["node"], "kind": kind, "parents": head["parents"], **rest}


def _owner(mechanism: Mechanism, before: Mapping[str, Mechanism]) -> str | None:
    """Return the first node that has the same arrays."""
    for node, other in before.items():
        match mechanism, other:
            case TableMechanism(), TableMechanism():
                if mechanism.parts is other.parts and mechanism.table is other.table:
                    return node
            case RegressionMechanism(), RegressionMechanism():
                if mechanism.coefficients is other.coefficients:
                    return node
    return None


def _table_document(mechanism: TableMechanism) -> Document:
    found: Document = {
        "table": _lines(mechanism.table),
        "support": mechanism.support.ravel().tolist(),
        "draws": flat_lists(mechanism.parts),
    }
    if (terms := mechanism.terms) is not None:
        found["terms"] = {
            "names": list(terms.names),
            "estimate": terms.estimate.tolist(),
            "draws": terms.draws.tolist(),
        }
    if (censoring := mechanism.censoring) is not None:
        found["censoring"] = {
            "table": _lines(censoring.table),
            "draws": flat_lists(censoring.parts),
        }
    return found


def _regression_document(mechanism: RegressionMechanism) -> Document:
    return {
        "rows": list(mechanism.rows),
        "regressors": list(mechanism.regressors),
        "response": mechanism.response,
        "bounds": [float(bound) for bound in mechanism.bounds],
        "coefficients": flat_lists(mechanism.coefficients),
        "scale": flat_lists(mechanism.scale),
        "support": mechanism.support.ravel().tolist(),
    }


def _lines(table: Table) -> list[Any]:
    found: list[Any] = table.reshape(-1, table.shape[-1]).tolist()
    return found


def flat_lists(draws: NDArray[Any]) -> list[Any]:
    """Return one flat list per entry of the first axis."""
    found: list[Any] = draws.reshape(len(draws), -1).tolist()
    return found


def read_mechanism(
    study: Study, node: str, value: object, before: Mapping[str, Mechanism]
) -> Mechanism:
    """Return the mechanism of a node; `before` are those of the nodes before it.

    Raises:
        UsageError: "model-invalid", naming the place.
    """
    place = f"mechanisms[{node}]"
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind == "shared":
        return _read_shared(study, node, value, before)
    wanted = _kind(study, node)
    if isinstance(value, dict) and "kind" in value:
        same(kind, wanted, f"{place}.kind")
    match wanted:
        case "table":
            return _read_table(study, node, value, place)
        case "regression":
            return _read_regression(study, node, value, place)
    document = _headed_fields(study, node, value, (*_COMMON, "value"), ())
    same(document["value"], study.mechanism(node).value, f"{place}.value")
    return RuleMechanism(node, study.mechanism_graph.parents[node], document["value"])


def _kind(study: Study, node: str) -> str:
    return {"table": "table", "moments": "regression", "none": "rule"}[study.mechanism(node).uses]


def _headed_fields(
    study: Study, node: str, value: object, names: tuple[str, ...], optional: tuple[str, ...]
) -> Object:
    place = f"mechanisms[{node}]"
    document = fields(value, names, place, optional)
    same(document["node"], node, f"{place}.node")
    same(document["parents"], list(study.mechanism_graph.parents[node]), f"{place}.parents")
    return document


def _read_shared(
    study: Study, node: str, value: object, before: Mapping[str, Mechanism]
) -> Mechanism:
    document = _headed_fields(study, node, value, (*_COMMON, "shared_with"), ())
    owner = document["shared_with"]
    family = study.family_of(node).node
    alike = [name for name in before if study.family_of(name).node == family]
    if owner not in alike[:1]:
        expected = f"{alike[0]!r}" if alike else "a mechanism of its own"
        refuse(f"mechanisms[{node}].shared_with", expected, repr(owner))
    return at_node(before[owner], node, study.mechanism_graph.parents[node])


def _read_table(study: Study, node: str, value: object, place: str) -> TableMechanism:
    variable, parents = study.variable(node), study.mechanism_graph.parents[node]
    censored = isinstance(variable, Survival)
    regressed = study.mechanism_of(node) in REGRESSION_KINDS
    optional = (*(["censoring"] * censored), *(["terms"] * regressed))
    document = _headed_fields(study, node, value, _TABLE, optional)
    shape = study.model_sizes((*parents, node))
    found = TableMechanism(
        node=node,
        parents=parents,
        table=_probabilities(document["table"], shape, f"{place}.table"),
        parts=_parts(document["draws"], shape, f"{place}.draws"),
        support=_support(document["support"], shape[:-1], f"{place}.support"),
    )
    if "terms" in document:
        terms = _terms(document["terms"], len(found.parts), f"{place}.terms")
        found = replace(found, terms=terms)
    if "censoring" in document:
        censoring = _censoring(document["censoring"], shape, len(found.parts), place)
        found = replace(found, censoring=censoring)
    return found


def _terms(value: object, draws: int, place: str) -> Terms:
    document = fields(value, ("names", "estimate", "draws"), place)
    listed = list_of(document["names"], f"{place}.names")
    names = [text_of(name, f"{place}.names") for name in listed]
    if not names:
        refuse(f"{place}.names", "a name per term", "none")
    (estimate,) = array([document["estimate"]], (1, len(names)), float, f"{place}.estimate")
    drawn = array(document["draws"], (draws, len(names)), float, f"{place}.draws")
    return Terms(tuple(names), estimate, drawn)


def _censoring(value: object, shape: tuple[int, ...], draws: int, place: str) -> Censoring:
    document = fields(value, ("table", "draws"), f"{place}.censoring")
    ends = (*shape[:-1], shape[-1] - 1)  # the intervals, without "none"
    table = _probabilities(document["table"], ends, f"{place}.censoring.table")
    parts = _parts(document["draws"], ends, f"{place}.censoring.draws")
    if len(parts) != draws:
        refuse(f"{place}.censoring.draws", f"{draws} draws", str(len(parts)))
    return Censoring(table, parts)


def _read_regression(study: Study, node: str, value: object, place: str) -> RegressionMechanism:
    document = _headed_fields(study, node, value, _REGRESSION, ())
    family, parents = study.family_of(node), study.mechanism_graph.parents[node]
    name = dict(zip(family.parents, parents, strict=True))
    rows = tuple(name[column] for column in family.rows)
    regressors = tuple(name[column] for column in family.regressors)
    same(document["rows"], list(rows), f"{place}.rows")
    same(document["regressors"], list(regressors), f"{place}.regressors")
    same(document["response"], study.mechanism_of(node), f"{place}.response")
    shape, terms = study.model_sizes(rows), 1 + len(regressors)
    size = prod(shape)
    coefficients = array(
        document["coefficients"], (-1, size * terms), float, f"{place}.coefficients"
    )
    count = len(coefficients)
    scale = array(document["scale"], (count, size), float, f"{place}.scale")
    if (scale < 0).any():
        refuse(f"{place}.scale", "numbers from 0", "a negative one")
    return RegressionMechanism(
        node=node,
        parents=parents,
        rows=rows,
        regressors=regressors,
        response=document["response"],
        coefficients=coefficients.reshape(count, *shape, terms),
        scale=scale.reshape(count, *shape),
        bounds=_bounds(document["bounds"], f"{place}.bounds"),
        support=_support(document["support"], shape, f"{place}.support"),
    )


def _bounds(value: object, place: str) -> tuple[float, float]:
    ((low, high),) = array([value], (1, 2), float, place).tolist()
    if low >= high:
        refuse(place, "a lower bound, then a higher one", f"{low} and {high}")
    return low, high


def _probabilities(value: object, shape: tuple[int, ...], place: str) -> Table:
    rows = array(value, (-1, shape[-1]), float, place)
    if rows.size != prod(shape):
        refuse(place, f"{prod(shape[:-1])} rows", str(len(rows)))
    return shares(rows, place).reshape(shape)


def shares(rows: Reals, place: str) -> Reals:
    """Return rows of probabilities, shape (.., size), or refuse them."""
    if (rows < 0).any() or (np.abs(rows.sum(axis=-1) - 1) > _ROW_TOLERANCE).any():
        refuse(place, "rows of probabilities that sum to 1", "other numbers")
    return rows


def _parts(value: object, shape: tuple[int, ...], place: str) -> Parts:
    flat = array(value, (-1, prod(shape)), int, place)
    parts = flat.reshape(-1, *shape)
    if (parts < 0).any() or (parts > WHOLE).any() or (parts.sum(axis=-1) != WHOLE).any():
        refuse(place, f"whole numbers that sum to {WHOLE} a row", "other numbers")
    return parts.astype(np.uint32)


def _support(value: object, shape: tuple[int, ...], place: str) -> Reals:
    support = array([value], (1, prod(shape)), float, place)
    if (support < 0).any():
        refuse(place, "numbers from 0", "a negative one")
    return support.reshape(shape)
