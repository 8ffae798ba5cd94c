"""The model file, "concause-model/1": plain JSON, self-contained, read strictly.

One object, UTF-8, in this order:

    format       "concause-model/1"
    study        the study as canonical JSON text (SPEC 2): domains, graph and questions
    provenance   {"study_hash", "plan_hash": SHA-256 in hexadecimal, "contributors": the number
                 of sites in the sum}
    mechanisms   one object a node, in topological order (`Study.causal_graph.nodes`):
        node         its name
        kind         "table": the only kind of this version
        parents      their names, in topological order; the graph's own
        table        P(node | parents), a list of rows of probabilities in code order; rows run
                     over the parents' codes, the last parent fastest. Numbers are the shortest
                     decimal that reads back to the same double. A row sums to 1 within 1e-9
        support      per row the estimated number of persons that it was fitted to, at least 0
        draws        per draw one flat list over rows and codes: parts per million, whole
                     numbers that sum to 1000000 a row; the same number of draws for every node

Draws are rounded to parts per million when they are made, so nothing is lost in the file.
Unknown or repeated fields, other shapes, NaN and infinities are refused with their place.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.identifiers import DIGEST_BYTES, Digest
from protocol.study.document import study_from_canonical
from protocol.study.study import Study
from server.causal.mechanism import WHOLE, Parts, Table, TableMechanism

FORMAT = "concause-model/1"
FEWEST_DRAWS = 20
MOST_CHARACTERS = 2**30

_FIELDS = ("format", "study", "provenance", "mechanisms")
_MECHANISM_FIELDS = ("node", "kind", "parents", "table", "support", "draws")
_PROVENANCE_FIELDS = ("study_hash", "plan_hash", "contributors")
_ROW_TOLERANCE = 1e-9
_HEXADECIMAL = re.compile(f"[0-9a-f]{{{2 * DIGEST_BYTES}}}")

Contents: TypeAlias = "tuple[Study, Mapping[str, TableMechanism], Provenance]"
_Object: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a model comes from."""

    study_hash: Digest
    plan_hash: Digest
    contributors: int  # sites in the sum


def encode(study: Study, mechanisms: Mapping[str, TableMechanism], provenance: Provenance) -> str:
    """Return the text of the model file: one line a mechanism."""
    head = {
        "format": FORMAT,
        "study": study.canonical.decode(),
        "provenance": {
            "study_hash": provenance.study_hash.hex(),
            "plan_hash": provenance.plan_hash.hex(),
            "contributors": provenance.contributors,
        },
    }
    lines = [_dump(_document(mechanisms[node])) for node in study.causal_graph.nodes]
    return _dump(head)[:-1] + ',"mechanisms":[\n' + ",\n".join(lines) + "\n]}\n"


def decode(text: str) -> Contents:
    """Return the contents of a model file.

    Raises:
        UsageError: "model-invalid", naming the place, what was expected and what was found.
    """
    document = _fields(_parse(text), _FIELDS, "the file")
    if document["format"] != FORMAT:
        _refuse("format", f"{FORMAT!r}", repr(document["format"]))
    study = _study(document["study"])
    provenance = _provenance(_fields(document["provenance"], _PROVENANCE_FIELDS, "provenance"))
    if provenance.study_hash != study.hash:
        _refuse("provenance.study_hash", "the hash of the study in this file", "another")
    return study, _mechanisms(study, document["mechanisms"]), provenance


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def _document(mechanism: TableMechanism) -> dict[str, object]:
    size = mechanism.table.shape[-1]
    return {
        "node": mechanism.node,
        "kind": "table",
        "parents": list(mechanism.parents),
        "table": mechanism.table.reshape(-1, size).tolist(),
        "support": mechanism.support.ravel().tolist(),
        "draws": mechanism.parts.reshape(len(mechanism.parts), -1).tolist(),
    }


def _parse(text: str) -> object:
    if len(text) > MOST_CHARACTERS:
        _refuse("the file", f"at most {MOST_CHARACTERS} characters", str(len(text)))
    try:
        return json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _refusal("the file", "JSON", "something else") from error


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        _refuse("an object", "each field once", "one twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    _refuse("a number", "a finite number", name)


def _fields(value: object, names: Sequence[str], place: str) -> _Object:
    if not isinstance(value, dict) or set(value) != set(names):
        found = ", ".join(map(repr, value)) if isinstance(value, dict) else type(value).__name__
        _refuse(place, "exactly the fields " + ", ".join(map(repr, names)), found)
    return value


def _study(text: object) -> Study:
    if not isinstance(text, str):
        _refuse("study", "canonical JSON as text", type(text).__name__)
    try:
        return study_from_canonical(text.encode())
    except UsageError as error:
        raise _refusal("study", "the canonical form of a study", error.cause) from error


def _provenance(document: _Object) -> Provenance:
    contributors = document["contributors"]
    if type(contributors) is not int or contributors < 1:
        _refuse("provenance.contributors", "a positive integer", repr(contributors))
    return Provenance(
        study_hash=_digest(document["study_hash"], "provenance.study_hash"),
        plan_hash=_digest(document["plan_hash"], "provenance.plan_hash"),
        contributors=contributors,
    )


def _digest(value: object, place: str) -> Digest:
    if not isinstance(value, str) or not _HEXADECIMAL.fullmatch(value):
        _refuse(place, "64 digits of lower-case hexadecimal", repr(value))
    return Digest(bytes.fromhex(value))


def _mechanisms(study: Study, documents: object) -> Mapping[str, TableMechanism]:
    nodes = study.causal_graph.nodes
    if not isinstance(documents, list) or len(documents) != len(nodes):
        _refuse("mechanisms", f"a list of {len(nodes)}, one a node", type(documents).__name__)
    found = {
        node: _mechanism(study, node, document)
        for node, document in zip(nodes, documents, strict=True)
    }
    counts = {len(mechanism.parts) for mechanism in found.values()}
    if len(counts) > 1 or min(counts) < FEWEST_DRAWS:
        _refuse("mechanisms", f"the same number of draws a node, from {FEWEST_DRAWS}", str(counts))
    return MappingProxyType(found)


def _mechanism(study: Study, node: str, value: object) -> TableMechanism:
    place = f"mechanisms[{node}]"
    document = _fields(value, _MECHANISM_FIELDS, place)
    parents = study.causal_graph.parents[node]
    expected = {"node": node, "kind": "table", "parents": list(parents)}
    for name, wanted in expected.items():
        if document[name] != wanted:
            _refuse(f"{place}.{name}", repr(wanted), repr(document[name]))
    shape = study.sizes((*parents, node))
    return TableMechanism(
        node=node,
        parents=parents,
        table=_table(document["table"], shape, f"{place}.table"),
        parts=_parts(document["draws"], shape, f"{place}.draws"),
        support=_support(document["support"], shape[:-1], f"{place}.support"),
    )


def _table(value: object, shape: tuple[int, ...], place: str) -> Table:
    rows = _array(value, (-1, shape[-1]), float, place)
    if rows.size != np.prod(shape):
        _refuse(place, f"{np.prod(shape[:-1], dtype=int)} rows", str(len(rows)))
    if (rows < 0).any() or (np.abs(rows.sum(axis=1) - 1) > _ROW_TOLERANCE).any():
        _refuse(place, "rows of probabilities that sum to 1", "other numbers")
    return rows.reshape(shape)


def _parts(value: object, shape: tuple[int, ...], place: str) -> Parts:
    cells = int(np.prod(shape))
    flat = _array(value, (-1, cells), int, place)
    parts = flat.reshape(-1, *shape)
    if (parts < 0).any() or (parts > WHOLE).any() or (parts.sum(axis=-1) != WHOLE).any():
        _refuse(place, f"whole numbers that sum to {WHOLE} a row", "other numbers")
    return parts.astype(np.uint32)


def _support(value: object, shape: tuple[int, ...], place: str) -> NDArray[np.float64]:
    rows = int(np.prod(shape, dtype=int))
    support = _array([value], (1, rows), float, place)
    if (support < 0).any():
        _refuse(place, "numbers from 0", "a negative one")
    return support.reshape(shape)


def _array(value: object, shape: tuple[int, int], kind: type, place: str) -> NDArray[Any]:
    """Return a list of `kind` numbers per row as an array of `shape`; -1 rows are any number."""
    rows, columns = shape
    expected = f"lists of {columns} numbers"
    if not isinstance(value, list) or (rows >= 0 and len(value) != rows):
        _refuse(place, expected, "another shape")
    for row in value:
        if not isinstance(row, list) or len(row) != columns:
            _refuse(place, expected, "another shape")
        if set(map(type, row)) - {kind}:
            _refuse(place, f"{kind.__name__} numbers", "other values")
    try:
        array = np.array(value, dtype=np.float64 if kind is float else np.int64)
    except OverflowError as error:
        raise _refusal(place, "smaller numbers", "one beyond 64 bits") from error
    if not np.isfinite(array).all():
        _refuse(place, "finite numbers", "an infinite one")
    return array.reshape(-1, columns)


def _refuse(place: str, expected: str, found: str) -> NoReturn:
    raise _refusal(place, expected, found)


def _refusal(place: str, expected: str, found: str) -> UsageError:
    shown = found if len(found) <= 200 else found[:197] + "..."
    return UsageError(
        "model-invalid",
        f"The model file is not valid. {place}: expected {expected}, found {shown}.",
        "Fetch the release again; model files are not edited by hand.",
    )
