"""Submits, looks at and stops runs through Flower's own command line."""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from protocol.errors import StorageError
from server.rounds.coordinator_config import CoordinatorConfig
from server.rounds.flower import environment, list_argv, run_argv, stop_argv
from server.rounds.status import printable

Runner: TypeAlias = Callable[[Sequence[str], Mapping[str, str]], str]
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class FlowerRun:
    """A run as Flower sees it; `status` is its word, for example "finished:failed"."""

    run_id: str
    status: str
    details: str = ""

    @property
    def finished(self) -> bool:
        """Return whether nothing works on it any more."""
        return self.status.startswith("finished")

    @property
    def waiting(self) -> bool:
        """Return whether nothing works on it yet."""
        return self.status in {"pending", "starting"}


def run_command(argv: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run a command to its end; return what it printed, whatever its exit status.

    Raises:
        StorageError: it cannot be started or does not end.
    """
    try:
        finished = subprocess.run(
            argv,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StorageError(
            "flower-command",
            f"Expected {argv[0]} to run and end within {_TIMEOUT_S:.0f} s.",
            "Check the installation, and that the SuperLink answers.",
        ) from error
    return finished.stdout.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class FlowerCli:
    """Flower's command line, talking to the coordinator's SuperLink."""

    config: CoordinatorConfig
    runner: Runner = run_command

    def run(self, app: Path, run_config: Path) -> str:
        """Submit a staged app; return the id of its run.

        Raises:
            StorageError: Flower did not take it.
        """
        return str(self._ask(run_argv(app, run_config)).get("run-id"))

    def look(self, run_id: str) -> FlowerRun:
        """Return how a run stands.

        Raises:
            StorageError: the SuperLink does not answer, or does not know the run.
        """
        answer = self._ask(list_argv(run_id))
        match answer:
            case {"runs": [{"status": str(status), "status-details": str(details)}]}:
                return FlowerRun(run_id, status, printable(details))
        raise _refused(self.config, "it listed no such run.")

    def stop(self, run_id: str) -> None:
        """Stop a run; one that has ended stays as it is."""
        self.runner(stop_argv(run_id), environment(self.config, "cli"))

    def _ask(self, argv: Sequence[str]) -> dict[str, object]:
        printed = self.runner(argv, environment(self.config, "cli"))
        try:
            answer = json.loads(printed)
        except ValueError:
            answer = {"error-message": printed}
        if not isinstance(answer, dict) or answer.get("success") is not True:
            said = answer.get("error-message") if isinstance(answer, dict) else answer
            raise _refused(self.config, printable(str(said)).strip()[-300:])
        return answer


def _refused(config: CoordinatorConfig, said: str) -> StorageError:
    return StorageError(
        "flower-refused",
        f"Flower did not do what was asked: {said}",
        f"Check that the SuperLink at {config.flower.superlink} is up.",
    )
