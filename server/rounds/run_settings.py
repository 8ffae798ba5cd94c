"""What the ServerApp is told when it starts: Flower's run config, as a value."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tomlkit

from protocol.errors import UsageError
from server.rounds.clock import Timings


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Where the round is, as an absolute path, and how long to wait for sites."""

    folder: Path
    timings: Timings

    def as_toml(self) -> str:
        """Return the run config as the TOML file that `flwr run --run-config` takes."""
        return tomlkit.dumps(self.as_run_config())

    def as_run_config(self) -> dict[str, str | float]:
        """Return the run config as the ServerApp's context holds it."""
        return {
            "round-folder": str(self.folder),
            "step-timeout-s": self.timings.step_timeout_s,
            "start-timeout-s": self.timings.start_timeout_s,
            "poll-interval-s": self.timings.poll_interval_s,
        }

    @classmethod
    def read(cls, run_config: Mapping[str, object]) -> "RunSettings":
        """Return the settings in a run config.

        Raises:
            UsageError: a field is missing or of another type.
        """
        folder = run_config.get("round-folder")
        names = ("step-timeout-s", "start-timeout-s", "poll-interval-s")
        times = [run_config.get(name) for name in names]
        numbers = [float(time) for time in times if isinstance(time, int | float)]
        if not isinstance(folder, str) or not folder or len(numbers) != len(names):
            raise UsageError(
                "run-config",
                f"Expected round-folder and the numbers {', '.join(names)} in the run config.",
                "Start the round with `concause round start`, not with `flwr run`.",
            )
        return cls(Path(folder), Timings(*numbers))
