"""The Flower ServerApp: drives the round in the folder that the run config names."""

from contextlib import suppress

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from protocol.errors import ConcauseError
from server.rounds.clock import SystemClock
from server.rounds.driver import drive
from server.rounds.folder import RoundFolder
from server.rounds.run_settings import RunSettings
from server.rounds.transport import FlowerTransport

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Drive one round; how it ended stands in its status.json, whoever started it reads that."""
    settings = RunSettings.read(context.run_config)
    folder = RoundFolder(settings.folder)
    with suppress(ConcauseError):
        drive(folder, FlowerTransport(grid), SystemClock(), settings.timings)
