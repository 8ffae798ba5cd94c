"""Kills the round driver at the moment it writes an event, with more or less of it on disk."""

import itertools
import os
from collections.abc import Callable, Mapping

import pytest

from protocol.secagg.coordinator_states import Event
from protocol.secagg.transcript import encode_event
from server.rounds.folder import TranscriptFile


class DriverKilledError(Exception):
    """The driver's process is gone."""


def kill_at(monkeypatch: pytest.MonkeyPatch, count: int, written: Callable[[bytes], bytes]) -> None:
    """Kill the driver at the event `count`, of which only `written` reaches the disk."""
    append, seen = TranscriptFile.append, itertools.count()

    def append_or_die(self: TranscriptFile, event: Event) -> None:
        if next(seen) == count:
            os.write(self.descriptor, written(encode_event(event)))
            raise DriverKilledError
        append(self, event)

    monkeypatch.setattr(TranscriptFile, "append", append_or_die)


TORN: Mapping[str, Callable[[bytes], bytes]] = {
    "before the event is written": lambda frame: frame[:0],
    "inside the length of the event": lambda frame: frame[:2],
    "inside the event": lambda frame: frame[:-1],
    "after the event is written": lambda frame: frame,
}
