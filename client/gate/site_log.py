"""The site's own log: JSON lines with an allow-list of fields, in a file that stays here."""

import traceback
from pathlib import Path
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

FIELDS = frozenset(
    {"event", "level", "at", "incident", "category", "code", "step", "session", "study", "trace"}
    | {"attempt", "delay_s", "exit_code", "site", "version"}
)


class SiteLog:
    """Writes events; a field outside the allow-list is dropped, and said to be."""

    def __init__(self, path: Path) -> None:
        self.path = path
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
        self._logger.info(event, **fields)

    def alarm(self, event: str, *, error: BaseException | None = None, **fields: Any) -> None:  # noqa: ANN401
        """Write one event that somebody should look at, with the trace of its error."""
        trace = "".join(traceback.format_exception(error)) if error else None
        self._logger.warning(event, trace=trace, **fields)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def keep_allowed(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Return the event without what is empty or not on the allow-list."""
    kept = {name: event[name] for name in event if name in FIELDS and event[name] is not None}
    dropped = sorted(name for name in event if name not in FIELDS)
    return kept | ({"event": f"{kept['event']} (dropped: {', '.join(dropped)})"} if dropped else {})
