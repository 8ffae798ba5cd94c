"""Run the benchmarks: `python -m bench [--only NAME] [--out build/bench.json]`."""

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench.harness import Measurement

SUBJECTS = ("mask", "measurement", "sampling")  # modules of this package, each with run()


def main(
    only: Annotated[str, typer.Option(help=f"One of {', '.join(SUBJECTS)}; all if empty.")] = "",
    out: Annotated[Path, typer.Option(help="Where the JSON goes.")] = Path("build/bench.json"),
) -> None:
    """Measure, print a table, write JSON."""
    if only and only not in SUBJECTS:
        raise typer.BadParameter(f"expected one of {', '.join(SUBJECTS)}, found {only!r}")
    found: list[Measurement] = []
    for subject in (only,) if only else SUBJECTS:
        run: Callable[[], list[Measurement]] = import_module(f"bench.{subject}").run
        found += run()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps([one.to_json() for one in found], indent=2) + "\n")
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
            _target(one),
            {True: "yes", False: "NO", None: ""}[one.met],
        )
    Console(width=150).print(table)


def _target(one: Measurement) -> str:
    if one.target is None:
        return ""
    return f"{'ratio ' if one.targets_ratio else ''}{'>=' if one.at_least else '<='} {one.target:g}"


if __name__ == "__main__":
    typer.run(main)
