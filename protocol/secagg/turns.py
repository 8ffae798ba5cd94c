"""The tables of legal pairs as data: what an illegal pair is told, and the diagram (SPEC 4.6)."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from protocol.errors import PeerError

Turns: TypeAlias = Mapping[tuple[type[Any], type[Any]], type[Any]]  # (state, message) -> state


def out_of_turn(turns: Turns, state: object, message: object) -> PeerError:
    """Return the error for a message that `state` does not await; a late sender is not blamed."""
    awaited = [kind.__name__ for known, kind in turns if known is type(state)]
    return PeerError(
        "out-of-turn",
        f"{type(state).__name__} awaits {' or '.join(awaited) or 'nothing more'}, "
        f"found {type(message).__name__}.",
    )


def render_mermaid(turns: Turns) -> str:
    """Return the table as a mermaid state diagram; the first state opens, the last closes it."""
    states = [state for state, _ in turns]
    final = [after for after in turns.values() if after not in states]
    lines = [f"    [*] --> {states[0].__name__}"]
    lines += [
        f"    {state.__name__} --> {after.__name__}: {message.__name__}"
        for (state, message), after in turns.items()
    ]
    lines += [f"    {state.__name__} --> [*]" for state in final]
    return "\n".join(["stateDiagram-v2", *lines, ""])
