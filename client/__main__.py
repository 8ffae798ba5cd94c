"""The `concause site` commands; the launcher adds them to `concause` and owns the exit codes."""

import typer

from client.commands.approval import approve, check
from client.commands.records import ledger, status
from client.commands.setup import init
from client.commands.work import start

HELP = """A site: its settings, approvals, gate and ledger.

The usual order: init, check, approve, start; then status and ledger to look at.
Exit codes: 0 done, 2 wrong input or records that do not fit, 3 refused by policy,
4 over budget, 5 a party that broke the protocol, 6 disk, process or network.
"""

app = typer.Typer(
    no_args_is_help=True, help=HELP, add_completion=False, rich_markup_mode="markdown"
)
for command in (init, check, approve, start, status, ledger):
    app.command()(command)

if __name__ == "__main__":
    app()
