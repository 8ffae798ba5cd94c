"""The `concause site` commands; the launcher adds them to `concause` and owns the exit codes."""

import typer

from client.commands.approval import admit, approve, envelope, review
from client.commands.audit import app as audit
from client.commands.doctor import doctor
from client.commands.explain import explain
from client.commands.joining import install, request
from client.commands.omop import omop
from client.commands.people import person
from client.commands.readiness import check, map_columns
from client.commands.records import ledger, status
from client.commands.setup import init
from client.commands.switches import accept_clock, pause, resume, withdraw
from client.commands.work import start

HELP = """A site: its settings, approvals, gate and ledger.

The usual order: init, request, install, person, check, review, approve (by two people), start;
then status, ledger, audit, explain and doctor to look at; pause and withdraw to stop.
Exit codes: 0 done, 2 wrong input or records that do not fit, 3 refused by policy,
4 over budget, 5 a party that broke the protocol, 6 disk, process or network.
"""

app = typer.Typer(
    no_args_is_help=True, help=HELP, add_completion=False, rich_markup_mode="markdown"
)
for command in (init, person, check, review, approve, envelope, admit, start, status, ledger):
    app.command()(command)
for joining in (request, install):
    app.command()(joining)
for switch in (pause, resume, withdraw, accept_clock):
    app.command()(switch)
app.command("map")(map_columns)
app.command()(omop)
app.command()(doctor)
app.command()(explain)
app.add_typer(audit, name="audit")

if __name__ == "__main__":
    app()
