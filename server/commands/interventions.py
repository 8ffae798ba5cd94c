"""Interventions as options of a command: one text each, NAME=..., and what is said of a bad one."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from protocol.errors import UsageError

if TYPE_CHECKING:
    from server.causal.worlds.interventions import Agent, Capacity, Intervention, Randomised

Do = Annotated[
    list[str] | None, typer.Option("--do", help="Set a variable: NAME=LEVEL. May be repeated.")
]
Policies = Annotated[
    list[str] | None,
    typer.Option(
        "--policy", help="Set it by a rule of others: NAME=RULE, such as treated='age < 50'."
    ),
]
Shifts = Annotated[
    list[str] | None, typer.Option("--shift", help="Move a number by so much: NAME=-5.")
]
Lotteries = Annotated[
    list[str] | None,
    typer.Option("--randomise", help="Draw it by lot: NAME=0.4, or NAME=I:0.5,II:0.5."),
]
Agents = Annotated[
    list[str] | None,
    typer.Option("--agent", help="Ask a function in a Python file: NAME=FILE.py:FUNCTION."),
]
Capacities = Annotated[
    list[str] | None,
    typer.Option("--capacity", help="1 for the share with the highest score: NAME=0.2:SCORE."),
]


def interventions_of(
    do: Iterable[str] | None = None,
    policies: Iterable[str] | None = None,
    shifts: Iterable[str] | None = None,
    lotteries: Iterable[str] | None = None,
    agents: Iterable[str] | None = None,
    capacities: Iterable[str] | None = None,
) -> "dict[str, Intervention]":
    """Return what the options set, by the name of the variable.

    Raises:
        UsageError: an option without NAME=, one that is malformed, or a variable that is set twice.
    """
    from server.causal.worlds import interventions as made  # noqa: PLC0415 - slow to load

    found: dict[str, Intervention] = {}
    options: list[tuple[str, Iterable[str] | None, Callable[[str], Intervention], str]] = [
        ("--do", do, str, "qsmk=1"),
        ("--policy", policies, made.policy, "qsmk='age < 50'"),
        ("--shift", shifts, made.shift, "weight=-5"),
        ("--randomise", lotteries, _lottery, "qsmk=0.4"),
        ("--agent", agents, _agent, "qsmk=guideline.py:treat"),
        ("--capacity", capacities, _capacity, "qsmk=0.2:age"),
    ]
    for option, texts, make, example in options:
        for text in texts or ():
            name, given = _assignment(text, f"{option} {example}")
            if name in found:
                raise UsageError(
                    "set-twice",
                    f"Expected each variable to be set once, found {name!r} twice.",
                    "Leave one of the options out.",
                )
            found[name] = make(given)
    return found


def _assignment(text: str, example: str) -> tuple[str, str]:
    name, equals, given = text.partition("=")
    if not (equals and name and given):
        raise UsageError(
            "not-an-assignment", f"Expected NAME=..., found {text!r}.", f"For example {example}."
        )
    return name.strip(), given.strip()


def _lottery(text: str) -> "Randomised":
    from server.causal.worlds.interventions import randomised  # noqa: PLC0415 - slow to load

    if ":" not in text:
        return randomised(_share(text))
    pairs = [part.rpartition(":") for part in text.split(",")]
    if not all(level and share for level, _, share in pairs):
        raise UsageError(
            "not-an-assignment",
            f"Expected LEVEL:SHARE,LEVEL:SHARE, found {text!r}.",
            "For example --randomise stage=I:0.5,II:0.5.",
        )
    return randomised({level.strip(): _share(share) for level, _, share in pairs})


def _share(text: str) -> float | str:
    """Return a number as one; anything else is a rule."""
    try:
        return float(text)
    except ValueError:
        return text


def _agent(text: str) -> "Agent":
    from server.causal.worlds.interventions import agent  # noqa: PLC0415 - slow to load

    path, colon, function = text.rpartition(":")
    if not (colon and path and function):
        raise UsageError(
            "not-an-assignment",
            f"Expected FILE.py:FUNCTION, found {text!r}.",
            "For example --agent qsmk=guideline.py:treat.",
        )
    return agent(path, function)


def _capacity(text: str) -> "Capacity":
    from server.causal.worlds.interventions import capacity  # noqa: PLC0415 - slow to load

    share, colon, score = text.partition(":")
    try:
        number = float(share)
    except ValueError:
        number = None
    if number is None or not (colon and score.strip()):
        raise UsageError(
            "not-an-assignment",
            f"Expected SHARE:SCORE, found {text!r}.",
            "For example --capacity qsmk=0.2:age.",
        )
    return capacity(number, score)
