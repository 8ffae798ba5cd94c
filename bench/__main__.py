"""Run the benchmarks: `python -m bench [--only NAME] [--quick] [--out build/bench.json]`."""

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench.harness import Measurement

# Modules of this package, each with run().
SUBJECTS = ("mask", "aggregation", "noise", "measurement", "databases", "sampling")
PRODUCTION = "production"  # takes ten minutes and a few GB of disk,
OUT_OF_CORE = "out_of_core"  # a quarter of an hour and a few GB, and
UTILITY = "utility"  # half an hour: so these are only run by name


def main(
    only: Annotated[
        str,
        typer.Option(
            help=f"One of {', '.join(SUBJECTS)}, {PRODUCTION}, {OUT_OF_CORE}, {UTILITY}; all but "
            "the last three if empty."
        ),
    ] = "",
    quick: Annotated[
        bool,
        typer.Option(help=f"{UTILITY}: two networks, one budget. Others: no 100 M rows."),
    ] = False,
    aim: Annotated[bool, typer.Option(help=f"{UTILITY}: with AIM, which takes hours.")] = False,
    out: Annotated[
        Path | None, typer.Option(help=f"Where the JSON goes: build/bench.json, or {UTILITY}.json.")
    ] = None,
) -> None:
    """Measure, print a table, write JSON."""
    known = (*SUBJECTS, PRODUCTION, OUT_OF_CORE, UTILITY)
    if only and only not in known:
        raise typer.BadParameter(f"expected one of {', '.join(known)}, found {only!r}")
    found: list[Measurement] = []
    if only == UTILITY:
        found = import_module("bench.utility.benchmark").run(fast=quick, aim=aim)
    elif only in (PRODUCTION, OUT_OF_CORE):
        found = import_module(f"bench.{only}").run(quick=quick)
    else:
        for subject in (only,) if only else SUBJECTS:
            run: Callable[[], list[Measurement]] = import_module(f"bench.{subject}").run
            found += run()
    path = out or Path("build") / ("utility.json" if only == UTILITY else "bench.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([one.to_json() for one in found], indent=2) + "\n")
    _print(found)


def _print(found: list[Measurement]) -> None:
    table = Table("measurement", "value", "peer", "ratio", "limit", "target", "met")
    for one in found:
        table.add_row(
            one.name,
            f"{one.value:,.3g} {one.unit}",
            f"{one.peer} {one.peer_value:,.3g}" if one.peer_value else one.peer,
            f"{one.ratio:.2f}" if one.ratio else "",
            f"{one.limit} {one.limit_value:,.3g}" if one.limit_value else "",
            one.target_text,
            {True: "yes", False: "NO", None: ""}[one.met],
        )
    Console(width=150).print(table)


if __name__ == "__main__":
    typer.run(main)
