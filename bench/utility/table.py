"""The results as a table: one row per world, size, budget and arm, averaged over seeds."""

from collections.abc import Sequence

import numpy as np

from bench.harness import Measurement
from bench.utility.measures import Score, average
from bench.utility.results import Results

HEADER = (
    *("network", "N", "epsilon", "arm", "seeds"),
    *("effect error", "largest", "family error", "coverage", "width", "fit s"),
)
TARGET_HEADER = ("measure", "value", "peer", "ratio", "target", "met")

Place = tuple[str, int, float, str]  # world, rows, epsilon, arm


def by_place(results: Results) -> dict[Place, list[Score]]:
    """Return the scores of all seeds by place: worlds as they came, then size and budget."""
    found: dict[Place, list[Score]] = {}
    for cell, score in results.items():
        found.setdefault((cell.world, cell.rows, cell.epsilon, cell.arm), []).append(score)
    worlds = list(dict.fromkeys(place[0] for place in found))
    return dict(sorted(found.items(), key=lambda one: (worlds.index(one[0][0]), *one[0][1:3])))


def rows_of(results: Results) -> list[tuple[str, ...]]:
    """Return the cells of the table as text; empty where there is no number."""
    return [
        (world, f"{rows // 1000}k", f"{epsilon:g}", arm, str(len(scores)), *_shown(average(scores)))
        for (world, rows, epsilon, arm), scores in by_place(results).items()
    ]


def target_rows(measurements: Sequence[Measurement]) -> list[tuple[str, ...]]:
    """Return the targets as text."""
    return [
        (
            one.name,
            f"{one.value:.3g} {one.unit}".strip(),
            f"{one.peer}: {one.peer_value:.3g}" if one.peer_value else "",
            f"{one.ratio:.2f}" if one.ratio else "",
            one.target_text,
            {True: "yes", False: "no", None: ""}[one.met],
        )
        for one in measurements
    ]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _shown(score: Score) -> tuple[str, ...]:
    numbers = (
        *(f"{score.effect_error:.4f}", f"{score.largest_error:.3f}", f"{score.family_error:.4f}"),
        *(f"{score.coverage:.3f}", f"{score.width:.3f}", f"{score.seconds:.2f}"),
    )
    return tuple("" if text == f"{np.nan:.3f}" else text for text in numbers)
