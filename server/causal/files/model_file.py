"""The model file, "concause-model/1": plain JSON, self-contained, read strictly.

One object, UTF-8, in this order:

    format       "concause-model/1"
    study        the study as canonical JSON text (SPEC 2): domains, graph and questions
    provenance   {"study_hash", "plan_hash": SHA-256 in hexadecimal, "contributors": the number
                 of sites in the sum}
    cautions     what a reader should know: {"node": a node, or the column that visits share,
                 "code": in kebab-case, "text"}
    placements   where values lie inside bins, in the order of names: {"variable", "shares": the
                 estimate, then the draws, each one flat list over the parts of all bins (the
                 study's `detail` parts a bin), which sum to 1 a bin}
    mechanisms   one object a node, in topological order (`Study.causal_graph.nodes`), each with
        node         its name
        kind         "table", "regression", "rule" or "shared"; all but the last as the study says
        parents      their names, in topological order; the graph's own

    table: codes are the model's (`Study.model_labels`)
        table        P(node | parents), a list of rows of probabilities in code order; rows run
                     over the parents' codes, the last parent fastest. A row sums to 1 within 1e-9
        support      per row the estimated number of persons that it was fitted to, at least 0
        draws        per draw one flat list over rows and codes: parts per million, whole
                     numbers that sum to 1000000 a row
        terms        perhaps, of a regression that the table was made of: {"names", "estimate":
                     coefficients on the scale of the link, "draws": a list of them per draw}
        censoring    perhaps, of a survival node: {"table", "draws"} as above, over intervals

    regression: see `server/causal/mechanisms/mechanism.py`
        rows         parents by whose codes coefficients differ
        regressors   parents whose values enter, in their own units
        response     "gaussian", "logistic", "poisson" or "negative-binomial"
        bounds       the two numbers that values are clamped to
        coefficients the estimate, then the draws, each one flat list: per row, in the order of
                     tables, a constant and a slope per regressor
        scale        the estimate, then the draws: per row, at least 0
        support      per row, as of a table

    rule
        value        the study's canonical text of the expression

    shared
        shared_with  the first node of the same family (of another visit), whose numbers it has

Numbers are the shortest decimal that reads back to the same double. All parameters have the same
number of draws. Draws of tables are rounded to parts per million when they are made, so nothing
is lost in the file. Unknown or repeated fields, other shapes, NaN and infinities are refused with
their place.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from protocol.errors import UsageError
from protocol.identifiers import DIGEST_BYTES, Digest
from protocol.study.document import study_from_canonical
from protocol.study.study import Study
from protocol.study.variables import Numeric
from server.causal.files.mechanism_file import (
    flat_lists,
    mechanism_document,
    read_mechanism,
    shares,
)
from server.causal.files.strict_json import (
    Object,
    array,
    fields,
    list_of,
    parse,
    refusal,
    refuse,
    same,
    text_of,
)
from server.causal.mechanisms.mechanism import Caution, Mechanism, Placement, draws_of

FORMAT = "concause-model/1"
FEWEST_DRAWS = 20

_FIELDS = ("format", "study", "provenance", "cautions", "placements", "mechanisms")
_PROVENANCE_FIELDS = ("study_hash", "plan_hash", "contributors")
_HEXADECIMAL = re.compile(f"[0-9a-f]{{{2 * DIGEST_BYTES}}}")
_CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a model comes from."""

    study_hash: Digest
    plan_hash: Digest
    contributors: int  # sites in the sum


class Contents(NamedTuple):
    """What a model file holds; the arguments of a `Model`."""

    study: Study
    mechanisms: Mapping[str, Mechanism]
    provenance: Provenance
    placements: Mapping[str, Placement]
    cautions: tuple[Caution, ...]


def encode(contents: Contents) -> str:
    """Return the text of the model file: one line a mechanism."""
    study, provenance = contents.study, contents.provenance
    head = {
        "format": FORMAT,
        "study": study.canonical.decode(),
        "provenance": {
            "study_hash": provenance.study_hash.hex(),
            "plan_hash": provenance.plan_hash.hex(),
            "contributors": provenance.contributors,
        },
        "cautions": [
            {"node": caution.node, "code": caution.code, "text": caution.text}
            for caution in contents.cautions
        ],
        "placements": [
            {"variable": name, "shares": flat_lists(placement.shares)}
            for name, placement in sorted(contents.placements.items())
        ],
    }
    lines, written = [], dict[str, Mechanism]()
    for node in study.mechanism_graph.nodes:
        lines.append(_dump(mechanism_document(contents.mechanisms[node], written)))
        written[node] = contents.mechanisms[node]
    return _dump(head)[:-1] + ',"mechanisms":[\n' + ",\n".join(lines) + "\n]}\n"


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def decode(text: str) -> Contents:
    """Return the contents of a model file.

    Raises:
        UsageError: "model-invalid", naming the place, what was expected and what was found.
    """
    document = fields(parse(text), _FIELDS, "the file")
    same(document["format"], FORMAT, "format")
    study = _study(document["study"])
    provenance = _provenance(fields(document["provenance"], _PROVENANCE_FIELDS, "provenance"))
    if provenance.study_hash != study.hash:
        refuse("provenance.study_hash", "the hash of the study in this file", "another")
    mechanisms = _mechanisms(study, document["mechanisms"])
    draws = {count for count in map(draws_of, mechanisms.values()) if count is not None}
    if len(draws) > 1 or min(draws, default=FEWEST_DRAWS) < FEWEST_DRAWS:
        refuse("mechanisms", f"the same number of draws a node, from {FEWEST_DRAWS}", str(draws))
    return Contents(
        study=study,
        mechanisms=mechanisms,
        provenance=provenance,
        placements=_placements(study, document["placements"], min(draws, default=0)),
        cautions=tuple(
            _caution(study, value) for value in list_of(document["cautions"], "cautions")
        ),
    )


def _study(text: object) -> Study:
    try:
        return study_from_canonical(text_of(text, "study").encode())
    except UsageError as error:
        if error.code == "model-invalid":
            raise
        raise refusal("study", "the canonical form of a study", error.cause) from error


def _provenance(document: Object) -> Provenance:
    contributors = document["contributors"]
    if type(contributors) is not int or contributors < 1:
        refuse("provenance.contributors", "a positive integer", repr(contributors))
    return Provenance(
        study_hash=_digest(document["study_hash"], "provenance.study_hash"),
        plan_hash=_digest(document["plan_hash"], "provenance.plan_hash"),
        contributors=contributors,
    )


def _digest(value: object, place: str) -> Digest:
    if not isinstance(value, str) or not _HEXADECIMAL.fullmatch(value):
        refuse(place, "64 digits of lower-case hexadecimal", repr(value))
    return Digest(bytes.fromhex(value))


def _caution(study: Study, value: object) -> Caution:
    document = fields(value, ("node", "code", "text"), "cautions")
    known = {*study.mechanism_graph.nodes, *(family.node for family in study.families)}
    node, code = (text_of(document[name], f"cautions.{name}") for name in ("node", "code"))
    if node not in known:
        refuse("cautions.node", "a node of the study", repr(node))
    if not _CODE.fullmatch(code):
        refuse("cautions.code", "a code in kebab-case", repr(code))
    return Caution(node, code, text_of(document["text"], "cautions.text"))


def _placements(study: Study, value: object, draws: int) -> Mapping[str, Placement]:
    documents = [
        fields(each, ("variable", "shares"), "placements") for each in list_of(value, "placements")
    ]
    names = [text_of(document["variable"], "placements.variable") for document in documents]
    if names != sorted(set(names)):
        refuse("placements", "each variable once, in the order of names", ", ".join(names))
    return MappingProxyType(
        {
            name: _placement(study, name, document["shares"], draws)
            for name, document in zip(names, documents, strict=True)
        }
    )


def _placement(study: Study, name: str, value: object, draws: int) -> Placement:
    place = f"placements[{name}]"
    variable = study.variables.get(name)
    if not isinstance(variable, Numeric):
        refuse(place, "a numeric variable of the study", "another name")
    edges = np.array([float(edge) for edge in variable.part_edges])
    flat = array(value, (1 + draws, len(edges) - 1), float, f"{place}.shares")
    return Placement(
        variable=name,
        edges=edges,
        shares=shares(flat.reshape(1 + draws, -1, variable.detail), f"{place}.shares"),
    )


def _mechanisms(study: Study, value: object) -> Mapping[str, Mechanism]:
    nodes, documents = study.mechanism_graph.nodes, list_of(value, "mechanisms")
    if len(documents) != len(nodes):
        refuse("mechanisms", f"a list of {len(nodes)}, one a node", f"{len(documents)}")
    found: dict[str, Mechanism] = {}
    for node, document in zip(nodes, documents, strict=True):
        found[node] = read_mechanism(study, node, document, found)
    return MappingProxyType(found)
