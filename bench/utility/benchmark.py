"""Run the grid, keep every score, and show what came out: tables, figures, targets."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.harness import Measurement
from bench.utility import real
from bench.utility.figure import Chart, drawing
from bench.utility.footprint import footprint
from bench.utility.grid import Grid, full, quick, world_of
from bench.utility.marginal_based import notes
from bench.utility.measures import Score, score
from bench.utility.results import Cell, Results, digest_of, kept_or_made
from bench.utility.table import HEADER, TARGET_HEADER, markdown, rows_of, target_rows
from bench.utility.targets import measurements
from bench.utility.world import Arm, Records, World

FOLDER = Path("build/utility")
FIT_SECONDS = {"alarm": 2.0, "hailfinder": 10.0}
FIT_MB = {"alarm": 300.0}
CHARTS = {
    "effect-error": Chart("Mean absolute error of effects", lambda one: one.effect_error, True),
    "family-error": Chart("Error of family tables", lambda one: one.family_error, True),
    "coverage": Chart(
        "Coverage of nominal 95 % intervals", lambda one: one.coverage, False, (0.92, 0.98)
    ),
}
SETTING = """\
Ten sites, n_min 8, one tolerated colluder, delta 1e-6. Effects are contrasts between two public
levels of a treatment on outcomes scaled to [0, 1]; variables of discrete networks are declared
ordinal in the order of their files. Errors are against the population's truth: the mean (and the
largest) absolute error over contrasts, and half the L1 distance averaged over families; each is
averaged over seeds. Intervals are nominal 95 %.
"""


def run(*, fast: bool = False, aim: bool = False) -> list[Measurement]:
    """Measure what has not been measured before, write everything, and return the targets."""
    grid = quick() if fast else full(aim=aim)
    results: dict[Cell, Score] = {}
    for name in grid.worlds:
        results |= _measured(grid, name)
    found = [*measurements(results), *_footprints(grid.worlds)]
    _write(results, found, "" if fast else _real_data())
    _print(results)
    return found


def _measured(grid: Grid, name: str) -> dict[Cell, Score]:
    """Return the scores of a world; worlds and records are made when the first cell needs them."""
    world: World | None = None
    records: tuple[tuple[int, int], Records] | None = None
    found: dict[Cell, Score] = {}

    def make(cell: Cell, arm: Arm) -> Score:
        nonlocal world, records
        world = world or world_of(name)
        if records is None or records[0] != (cell.rows, cell.seed):
            records = (cell.rows, cell.seed), world.records(cell.rows, cell.seed)
        print(f"{cell.world}, N {cell.rows}, epsilon {cell.epsilon:g}, {cell.arm}, {cell.seed}")
        return score(world, arm.fit(world, records[1], cell.epsilon, cell.seed))

    for cell, arm in grid.cells(name):
        found[cell] = kept_or_made(cell, arm.sources, partial(make, cell, arm))
    return found


def _footprints(worlds: Sequence[str]) -> list[Measurement]:
    found = []
    for name in [name for name in worlds if name in FIT_SECONDS]:
        seconds, peak = footprint(world_of(name))
        found += [
            _limited(f"fit, {name}, wall time", seconds, "s", FIT_SECONDS[name]),
            _limited(f"fit, {name}, peak memory of the process", peak, "MB", FIT_MB.get(name)),
        ]
    return found


def _limited(name: str, value: float, unit: str, most: float | None) -> Measurement:
    return Measurement(name, value, unit, target=most, targets_ratio=False, at_least=False)


def _real_data() -> str:
    """Return the table of `real.py`, measured anew if a source has changed."""
    digest = digest_of(("protocol", "server", "bench/utility"))
    stamp = FOLDER / "real.digest"
    if not stamp.exists() or stamp.read_text() != digest:
        real.main()
        stamp.write_text(digest)
    return (FOLDER / "real.md").read_text()


def _write(results: Results, found: Sequence[Measurement], real_data: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, chart in CHARTS.items():
        (FOLDER / f"{name}.svg").write_text(drawing(results, chart))
    parts = [
        "# Utility\n",
        SETTING,
        "## Targets\n",
        markdown(TARGET_HEADER, target_rows(found)),
        "## All arms\n",
        markdown(HEADER, rows_of(results)),
        *(("## Real data\n", real_data) if real_data else ()),
        *(f"![{chart.title}]({name}.svg)\n" for name, chart in CHARTS.items()),
        *(f"* {note}\n" for note in notes()),
    ]
    (FOLDER / "utility.md").write_text("\n".join(parts))


def _print(results: Results) -> None:
    table = Table(*HEADER)
    for row in rows_of(results):
        table.add_row(*row)
    Console(width=150).print(table)
