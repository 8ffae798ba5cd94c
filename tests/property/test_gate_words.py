"""Whatever the records are and whatever fails, what leaves a site holds nothing of them.

Records hold marks that stand nowhere else: as values, as spellings, as names of columns, and in how
many rows there are. Then something breaks: a file, a column, the engine, the gate's own code.
"""

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from client.gate.gate import Gate
from client.measure.statistics import measure
from client.source.duckdb_source import DuckDBSource
from client.source.site_table import Mapping, SiteData
from protocol import canonical
from protocol.secagg.messages import Invitation, encode_message
from protocol.study.study import Study
from tests.support.site_world import NOW, Exchange, World

KEY = bytes(32)
MARKS = st.from_regex(r"\Aq[0-9a-f]{11}z\Z")
Break = Callable[[Path, DuckDBSource | None], None]


def nothing(_: Path, __: DuckDBSource | None) -> None:
    """Break nothing."""


def cut(path: Path, _: DuckDBSource | None) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def gone(path: Path, _: DuckDBSource | None) -> None:
    path.unlink()


def other_column(path: Path, _: DuckDBSource | None) -> None:
    table = pq.read_table(path)
    pq.write_table(table.rename_columns([f"{name}x" for name in table.column_names]), path)


def lists(path: Path, _: DuckDBSource | None) -> None:
    table = pq.read_table(path)
    columns = {name: [[value] for value in table[name].to_pylist()] for name in table.column_names}
    pq.write_table(pa.table(columns), path)


def closed(_: Path, source: DuckDBSource | None) -> None:
    if source is not None:
        source._engine.close()


def planted(path: Path, source: DuckDBSource | None) -> None:
    if source is not None:
        raise RuntimeError(f"row {pq.read_table(path).to_pylist()[:1]}")


def unconvertible(_: Path, source: DuckDBSource | None) -> None:
    if source is not None:
        source._engine.run("SELECT CAST(a AS DATE) FROM site_files")


BEFORE = (nothing, cut, gone, other_column, lists)
WITHIN = (nothing, closed, planted, unconvertible, gone, cut)


class Scene:
    """A world whose first site has real records, which break."""

    def __init__(self, folder: Path, table: pa.Table, form: str, within: Break) -> None:
        self.path = folder / f"records.{form}"
        if form == "csv":
            names = ",".join(table.column_names)
            rows = [",".join(map(str, row.values())) for row in table.to_pylist()]
            self.path.write_text("\n".join([names, *rows]))
        else:
            pq.write_table(table, self.path)
        self.world = World(folder / "world")
        self._within = within

    def gate(self) -> Gate:
        data = SiteData(path=str(self.path), unit_column="person")

        def opened(study: Study) -> DuckDBSource:
            spill = self.path.parent / "spill"
            source = DuckDBSource(data, Mapping(), study, bound_key=KEY, folder=spill)
            self._within(self.path, source)
            return source

        return self.world.open(0, open_source=opened, measure=measure)


def tables(marks: list[str], rows: int) -> pa.Table:
    levels = [marks[row % len(marks)] for row in range(rows)]
    return pa.table(
        {
            "a": levels,
            "b": [str(row % 2) for row in range(rows)],
            "person": [f"{level}{row}" for row, level in enumerate(levels)],
            marks[0]: levels,
        }
    )


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    marks=st.lists(MARKS, min_size=1, max_size=3, unique=True),
    rows=st.integers(10_000, 20_000),
    form=st.sampled_from(["parquet", "csv"]),
    before=st.sampled_from(BEFORE),
    within=st.sampled_from(WITHIN),
    approved=st.booleans(),
)
def test_what_a_gate_says_holds_nothing_of_its_records(
    marks: list[str],
    rows: int,
    form: str,
    before: Break,
    within: Break,
    *,
    approved: bool,
) -> None:
    with TemporaryDirectory() as name:
        scene = Scene(Path(name), tables(marks, rows), form, nothing)
        world = scene.world
        with closing(world):
            if approved:
                with scene.gate()._means.open_source(world.study) as source:
                    world.approve(0, snapshot=source.snapshot())
            if form == "parquet" or before in (nothing, cut, gone):
                before(scene.path, None)
            scene._within = within
            gates = {0: scene.gate(), 1: world.open(1), 2: world.open(2)}
            exchange = Exchange(world, world.issue())
            said = b""
            for _ in range(3):
                bodies = exchange.requests()
                reply = gates[0].respond(bodies[0], now=NOW)
                said += reply.get("refusal", b"")
                if "refusal" in reply:
                    break
                exchange.take(reply["body"])
                for site in (1, 2):
                    exchange.take(gates[site].answer(bodies[site], now=NOW))
                exchange.close()
            said += gates[0].respond(b"\x99", now=NOW)["refusal"]
            said += (
                gates[0]
                .respond(encode_message(Invitation(world.issue())), now=NOW)
                .get("refusal", b"")
            )
        check_words(said, [*marks, *(mark[1:-1] for mark in marks)], rows, str(scene.path))


def check_words(said: bytes, marks: list[str], rows: int, path: str) -> None:
    text = said.decode()
    assert not [mark for mark in marks if mark in text]
    numbers = re.findall(r"(?<![0-9a-f])\d{2,}(?![0-9a-f])", re.sub(r'"id":"[^"]*"', "", text))
    assert str(rows) not in numbers
    assert path not in text
    assert Path(path).name not in text


def test_the_check_can_fail() -> None:
    said = canonical.encode({"cause": "found q0123456789az in 12345 rows", "id": "x"})
    for marks, rows in ((["q0123456789az"], 1), ([], 12345)):
        try:
            check_words(said, marks, rows, "/nowhere")
        except AssertionError:
            continue
        raise AssertionError("a mark passed unseen")


def test_failures_of_every_kind_happen() -> None:
    table = tables(["q0123456789az"], 12_345)
    categories = set()
    for within in WITHIN:
        with TemporaryDirectory() as name:
            scene = Scene(Path(name), table, "parquet", within)
            with closing(scene.world):
                body = encode_message(Invitation(scene.world.issue()))
                refusal = canonical.decode(scene.gate().respond(body, now=NOW)["refusal"])
                assert isinstance(refusal, dict)
                categories.add(refusal["category"])
    assert {"infrastructure", "bug"} <= categories
