"""The site's own log: JSON lines with an allow-list of fields, in a file that stays here."""

import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

FIELDS = frozenset(
    {"event", "level", "at", "incident", "category", "code", "step", "session", "study", "trace"}
    | {"attempt", "delay_s", "exit_code", "remedy", "site", "version"}
)
_HEX_OF_A_HASH = 64


class SiteLog:
    """Writes events; a field outside the allow-list is dropped, and said to be.

    On a terminal, `screen`, they stand as people read them, without traces.
    """

    def __init__(self, path: Path, screen: TextIO | None = None) -> None:
        self.path = path
        self._screen = screen
        path.touch(mode=0o600, exist_ok=True)
        self._file: TextIO = path.open("a", encoding="utf-8", buffering=1)
        self._logger = structlog.wrap_logger(
            structlog.WriteLogger(self._file),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
                keep_allowed,
                structlog.processors.JSONRenderer(sort_keys=True),
            ],
        )

    def note(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - JSON values
        """Write one event."""
        with suppress(OSError):  # a full disk must not stop the gate, nor who watches over it
            self._logger.info(event, **fields)
        self._show(event, fields)

    def alarm(self, event: str, *, error: BaseException | None = None, **fields: Any) -> None:  # noqa: ANN401
        """Write one event that somebody should look at, with the trace of its error."""
        trace = "".join(traceback.format_exception(error)) if error else None
        with suppress(OSError):
            self._logger.warning(event, trace=trace, **fields)
        self._show(event, fields)

    def _show(self, event: str, fields: Mapping[str, Any]) -> None:
        if self._screen is not None:
            with suppress(OSError):  # a terminal that is gone
                print(_words(event, fields), file=self._screen, flush=True)

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self._file.close()


def _words(event: str, fields: Mapping[str, Any]) -> str:
    kept = keep_allowed(None, "", {"event": event, **fields})
    parts = (f"{name}={_short(value)}" for name, value in kept.items() if name != "event")
    return " ".join([f"{datetime.now(UTC):%H:%M:%S}", kept["event"], *parts])


def _short(value: Any) -> str:  # noqa: ANN401 - JSON values
    text = str(value)
    return f"{text[:8]}..." if len(text) == _HEX_OF_A_HASH and text.isalnum() else text


def keep_allowed(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Return the event without what is empty or not on the allow-list."""
    kept = {name: event[name] for name in event if name in FIELDS and event[name] is not None}
    dropped = sorted(name for name in event if name not in FIELDS)
    return kept | ({"event": f"{kept['event']} (dropped: {', '.join(dropped)})"} if dropped else {})
