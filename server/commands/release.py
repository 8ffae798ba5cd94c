"""`concause release`: check what was published."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from protocol.errors import ExitCode
from protocol.secagg.roster import parse_roster
from server.commands.graph_checks import check_graph, invariance
from server.commands.output import JsonFlag, read_text, show

app = typer.Typer(no_args_is_help=True, help="Check a release.")
app.command()(check_graph)
app.command()(invariance)


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="The release folder.", show_default=False)],
    roster: Annotated[
        Path | None,
        typer.Option(help="The roster you trust; without it, the release's own is used."),
    ] = None,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Check hashes, signatures, transcript, sum, model and data of a release."""
    from server.release.verify import verify_release  # noqa: PLC0415 - pandas is slow to load

    pinned = parse_roster(read_text(roster, "a roster").encode()) if roster else None
    verification = verify_release(folder, roster=pinned)
    table = Table("check", "file", "result", title=str(folder))
    for check in verification.checks:
        table.add_row(check.name, check.file, "ok" if check.passed else f"FAILED: {check.detail}")
    show(verification.to_json(), table, as_json=as_json)
    if not verification.ok:
        raise typer.Exit(ExitCode.PEER)
