"""The `concause` command: noun, then verb; one place where errors become exit codes."""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, NoReturn

import click
import typer

import concause  # noqa: F401 - puts the three packages on the path
from client.__main__ import app as site
from client.commands.doctor import doctor as site_doctor
from protocol.errors import ConcauseError, ExitCode
from server.commands import (
    aggregator,
    coordinator,
    model,
    questions,
    release,
    rounds,
    sample,
    study,
)
from server.commands.doctor import doctor as coordinator_doctor

HELP = """Fit one causal model across institutions that may not pool their records.

Exit codes: 0 done, 1 a fault of ours, 2 wrong input, 3 refused by policy, 4 over budget,
5 a party or file that does not verify, 6 disk, process or network, 7 too few sites,
130 stopped by you.
"""

SITE, COORDINATOR = Path("site.toml"), Path("coordinator.toml")
app = typer.Typer(
    name="concause",
    help=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(study.app, name="study")
app.add_typer(site, name="site")
app.add_typer(coordinator.app, name="coordinator")
app.add_typer(aggregator.app, name="aggregator")
app.add_typer(rounds.app, name="round")
app.add_typer(release.app, name="release")
app.command()(sample.sample)
app.command()(model.effect)
app.command()(questions.compare)
app.command()(questions.mediate)
app.command()(questions.counterfactual)
app.command()(questions.sensitivity)
app.command()(model.parameters)


@app.command()
def doctor(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="site.toml or coordinator.toml; else the one here."),
    ] = None,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead.")
    ] = False,
) -> None:
    """Check a site or a coordinator: every problem, its consequence, and how to fix it.

    Ends with exit code 0 if all is well, 1 with warnings, 2 with errors.
    """
    path = config or next((p for p in (SITE, COORDINATOR) if p.exists()), SITE)
    of_coordinator = path.exists() and "[coordinator]" in path.read_text(encoding="utf-8")
    look = coordinator_doctor if of_coordinator else site_doctor
    look(path, as_json=as_json)


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code, having said on stderr what went wrong."""
    as_json = "--json" in arguments
    try:
        code = int(app(arguments, standalone_mode=False, prog_name="concause") or 0)
    except ConcauseError as error:
        if os.environ.get("CONCAUSE_TRACEBACK"):
            traceback.print_exception(error)
        _complain(error.category, error.code, error.cause, error.remedy, as_json=as_json)
        return int(error.exit_code)
    except click.ClickException as error:
        error.show()
        return int(ExitCode.USAGE)
    except (click.Abort, KeyboardInterrupt):
        code = int(ExitCode.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the outermost shell: everything becomes a code
        _report_bug(error, as_json=as_json)
        return int(ExitCode.BUG)
    if code == ExitCode.INTERRUPTED:  # typer itself turns Ctrl-C into this code
        _complain("interrupted", "interrupted", "Stopped by you.", "", as_json=as_json)
    return code


def _report_bug(error: Exception, *, as_json: bool) -> None:
    if os.environ.get("CONCAUSE_TRACEBACK"):
        traceback.print_exception(error)
    cause = f"A fault in concause itself ({type(error).__name__})."
    remedy = "Run again with CONCAUSE_TRACEBACK=1 and report what it prints."
    _complain("bug", "internal", cause, remedy, as_json=as_json)


def _complain(category: str, code: str, cause: str, remedy: str, *, as_json: bool) -> None:
    if as_json:
        document = {"category": category, "code": code, "cause": cause, "remedy": remedy}
        typer.echo(json.dumps({"error": document}), err=True)
        return
    typer.echo(f"error ({code}): {cause}", err=True)
    if remedy:
        typer.echo(f"what to do: {remedy}", err=True)
