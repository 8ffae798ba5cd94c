"""`concause sample`: synthetic rows, as files or as partitions."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from protocol.errors import UsageError
from server.commands.interventions import (
    Agents,
    Capacities,
    Do,
    Lotteries,
    Policies,
    Shifts,
    interventions_of,
)
from server.commands.output import JsonFlag, show
from server.commands.released import ReleasePath, loaded

if TYPE_CHECKING:
    from server.causal.model import Model
    from server.causal.synthetic.copies import Copy

Out = Annotated[
    Path, typer.Option(help="A file (.parquet, .arrow or .csv), or a folder of Parquet partitions.")
]
Rows = Annotated[int, typer.Option(min=1, help="How many rows.")]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")]
Copies = Annotated[
    int, typer.Option(min=1, help="How many data sets, as NAME-001 and on: for honest intervals.")
]
Draw = Annotated[
    int | None,
    typer.Option(min=0, help="A plausible set of parameters by its number, not the estimate."),
]
Engine = Annotated[
    Literal["local", "spark"], typer.Option(help="What makes the partitions of a folder.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes, for a folder: by default one a core.")
]
PartitionRows = Annotated[int, typer.Option(min=1, help="Of a partition in a folder.")]
SparkMaster = Annotated[str, typer.Option(help="Where Spark runs.")]
Long = Annotated[
    bool, typer.Option("--long", help="One row per unit and visit, of a study with visits.")
]


def sample(  # noqa: PLR0913 - one option per part of the request
    release: ReleasePath,
    out: Out,
    *,
    rows: Rows = 10_000,
    seed: Seed = 1,
    copies: Copies = 1,
    draw: Draw = None,
    do: Do = None,
    policy: Policies = None,
    shift: Shifts = None,
    randomise: Lotteries = None,
    agent: Agents = None,
    capacity: Capacities = None,
    engine: Engine = "local",
    workers: Workers = None,
    partition_rows: PartitionRows = 1_048_576,
    spark_master: SparkMaster = "local[*]",
    long: Long = False,
    as_json: JsonFlag = False,
) -> None:
    """Sample synthetic rows from a fitted model, observed or under interventions.

    A folder that was left unfinished is completed by the same command. With several copies, each
    is drawn from another set of parameters that the release allows: analyse each, and combine the
    results with concause.combine.
    """
    options = (do, policy, shift, randomise, agent, capacity)
    ways = interventions_of(*options)
    _check(out, engine, copies, draw)
    model = loaded(release)
    write = partial(
        _write,
        model.do(ways),
        shown=not as_json,
        rows=rows,
        long=long,
        on=engine,
        workers=workers,
        partition_rows=partition_rows,
        master=spark_master,
    )
    digests = {
        str(path): write(path, seed=copy.seed, draw=copy.draw)
        for path, copy in _planned(model, out, copies, seed, draw)
    }
    paths = list(digests)
    given = [text for texts in options for text in texts or ()]
    document = {"path": paths[0], "paths": paths, "rows": rows, "seed": seed}
    document |= {"do": given, "sha256": digests}
    places = paths[0] if copies == 1 else f"each of {paths[0]} to {Path(paths[-1]).name}"
    line = f"{rows:,} {'units' if long else 'rows'} written to {places}"
    show(document, line, as_json=as_json)


def _write(model: "Model", path: Path, *, shown: bool, rows: int, **how: Any) -> str:  # noqa: ANN401
    """Write one population, with a bar on the terminal; return its hash."""
    from server.causal.production.population import write_population  # noqa: PLC0415 - slow

    with _bar(rows, shown=shown) as progress:
        return write_population(model, path, rows=rows, progress=progress, **how)


def _check(out: Path, engine: str, copies: int, draw: int | None) -> None:
    from server.causal.production.files import check_ending  # noqa: PLC0415 - slow to load
    from server.causal.production.population import is_folder  # noqa: PLC0415

    if out.suffix:
        check_ending(out)
    if engine == "spark" and not is_folder(out):
        raise UsageError(
            "unknown-format",
            f"Expected a folder for Spark, found {out.name!r}, which is one file.",
            "Give --out a name without an ending.",
        )
    if copies > 1 and draw is not None:
        raise UsageError(
            "copies-or-draw",
            f"Expected several copies or one draw, found {copies} copies and draw {draw}.",
            "Leave --draw out: every copy has a draw of its own.",
        )


def _planned(
    model: "Model", out: Path, copies: int, seed: int, draw: int | None
) -> "Iterator[tuple[Path, Copy]]":
    """Yield where each data set goes, and what it is drawn with."""
    from server.causal.synthetic.copies import Copy, plan_copies  # noqa: PLC0415 - slow to load
    from server.release.folder import numbered  # noqa: PLC0415

    if draw is not None:
        yield out, Copy(1, seed, draw)
        return
    plan = plan_copies(copies, seed=seed, draws=model.draws)
    for name, copy in zip(numbered(out.name, copies), plan, strict=True):
        yield out.with_name(name), copy


@contextmanager
def _bar(rows: int, *, shown: bool) -> Iterator[Callable[[int], None] | None]:
    """Show how many rows have been written, on a terminal."""
    if not (shown and sys.stderr.isatty()) or os.environ.get("NO_PROGRESS"):
        yield None
        return
    columns = (
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} rows"),
        BarColumn(),
        TextColumn("{task.speed:,.0f} rows/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task("", total=rows)
        yield lambda written: progress.update(task, advance=written)
