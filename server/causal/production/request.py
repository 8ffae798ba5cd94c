"""What a synthetic population is: a model, a seed, which rows, under which interventions.

A request is plain data with one text, so that a worker, here or on another machine, makes any part
of the rows from the text and the model file alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from protocol import canonical
from protocol.canonical import Json
from protocol.errors import UsageError
from server.causal.model import Model
from server.causal.sampling.noise import check_seed
from server.causal.worlds.interventions import Agent, Intervention, Policy, Randomised
from server.causal.worlds.resolution import document_of

FORMAT = "concause-sample/1"
BATCH_ROWS = 1 << 17
PARTITION_ROWS = 1 << 20
COUPLING = "shared noise"  # worlds of one seed have the same persons


@dataclass(frozen=True, slots=True)
class Request:
    """The rows that are asked for.

    `interventions` are the documents of `worlds/resolution.py`; of an agent with the path of its
    file. A partition has `partition_rows` rows, the last one perhaps fewer, in batches of
    `batch_rows`, which are its row groups. With `long` a row stands for a unit, which has a line
    per visit.
    """

    model_sha256: str
    study_hash: str
    rows: int
    seed: int
    start: int = 0
    draw: int | None = None
    interventions: tuple[Mapping[str, Json], ...] = ()
    partition_rows: int = PARTITION_ROWS
    batch_rows: int = BATCH_ROWS
    long: bool = False

    def __post_init__(self) -> None:
        """Raise UsageError unless there are rows, and parts that they fall into."""
        check_seed(self.seed)
        for name, least in (("rows", 1), ("start", 0), ("partition_rows", 1), ("batch_rows", 1)):
            found = getattr(self, name)
            if found < least:
                raise UsageError(
                    "rows-out-of-range",
                    f"Expected {name} of at least {least}, found {found}.",
                    "Rows are counted from 0.",
                )

    @property
    def partitions(self) -> int:
        """Return the number of partitions."""
        return -(-self.rows // self.partition_rows)

    def span(self, index: int) -> tuple[int, int]:
        """Return the first row and the number of rows of a partition."""
        low = index * self.partition_rows
        return self.start + low, min(self.partition_rows, self.rows - low)

    def batches(self, start: int, rows: int) -> list[tuple[int, int]]:
        """Return the first row and the number of rows of each batch of some rows."""
        stop = start + rows
        starts = range(start, stop, self.batch_rows)
        return [(at, min(self.batch_rows, stop - at)) for at in starts]

    @property
    def document(self) -> dict[str, Json]:
        """Return the request as JSON; where agents' files lie is no part of what they are."""
        fields: dict[str, Any] = asdict(self)
        shown = [{k: v for k, v in one.items() if k != "path"} for one in self.interventions]
        return {"format": FORMAT, **fields, "interventions": shown}

    @property
    def text(self) -> str:
        """Return the one text of the request, without paths."""
        return canonical.encode(self.document).decode()

    def metadata(self, span: tuple[int, int]) -> dict[bytes, bytes]:
        """Return what a file with some of the rows says about itself."""
        facts = {
            "format": FORMAT,
            "rung": "interventional" if self.interventions else "observational",
            "coupling": COUPLING,
            "study_hash": self.study_hash,
            "model_sha256": self.model_sha256,
            "seed": str(self.seed),
            "draw": "estimate" if self.draw is None else str(self.draw),
            "first_row": str(span[0]),
            "rows": str(span[1]),
            "interventions": canonical.encode(self.document["interventions"]).decode(),
        }
        return {f"concause.{key}".encode(): fact.encode() for key, fact in facts.items()}


def request_for(  # noqa: PLR0913 - the parts of a request
    model: Model,
    model_sha256: str,
    rows: int,
    seed: int,
    *,
    start: int = 0,
    draw: int | None = None,
    partition_rows: int = PARTITION_ROWS,
    batch_rows: int = BATCH_ROWS,
    long: bool = False,
) -> Request:
    """Return the request for rows of a model's view.

    Raises:
        UsageError: no rows, or a seed outside 64 bits.
    """
    documents = document_of(model.interventions, model.study, paths=True)
    return Request(
        model_sha256=model_sha256,
        study_hash=model.study.hash.hex(),
        rows=rows,
        seed=seed,
        start=start,
        draw=draw,
        interventions=tuple(documents),
        partition_rows=partition_rows,
        batch_rows=batch_rows,
        long=long,
    )


def request_from(document: Mapping[str, Any]) -> Request:
    """Return the request of its JSON, which this program wrote."""
    fields = {key: value for key, value in document.items() if key != "format"}
    return Request(**{**fields, "interventions": tuple(fields["interventions"])})


def with_paths(request: Request, paths: Mapping[str, str]) -> Request:
    """Return the request with the paths of its agents' files, by their SHA-256."""
    placed = tuple(
        {**one, "path": paths[str(one["sha256"])]} if one.get("sha256") in paths else one
        for one in request.interventions
    )
    return replace(request, interventions=placed)


def interventions_of(documents: Sequence[Mapping[str, Json]]) -> dict[str, Intervention]:
    """Return what documents of interventions say, for `Model.do`."""
    return {str(one["node"]): _intervention(one) for one in documents}


def _intervention(one: Mapping[str, Any]) -> Intervention:
    match one["kind"]:
        case "set":
            return str(one["value"])
        case "policy":
            return Policy(one["value"])
        case "randomised":
            return Randomised({level: _share(text) for level, text in one["shares"].items()})
        case "agent":
            return Agent(Path(one["path"]), one["function"], one["reads"], one["sha256"])
    raise AssertionError(f"no intervention is a {one['kind']}")


def _share(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
