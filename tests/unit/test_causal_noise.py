import json

import numpy as np
import pytest

from protocol.errors import UsageError
from server.causal.sampling.drawing import draw
from server.causal.sampling.engine import Engine, Path
from server.causal.sampling.nodes import TableNode
from server.causal.sampling.noise import Words, check_seed, fractions
from server.causal.sampling.tables import compile_nodes, thresholds
from tests.vectors import sampling_generate

VECTORS = json.loads(sampling_generate.FILE.read_text(encoding="utf-8"))
TABLES = {name: np.array(table) for name, table in VECTORS["tables"].items()}
CASES = pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: f"seed{case['seed']}")


def test_committed_vectors_are_what_the_specification_gives() -> None:
    assert sampling_generate.vectors() == VECTORS


@CASES
def test_words_follow_the_vectors(case: dict[str, object]) -> None:
    seed, start, expected = int(str(case["seed"])), int(str(case["start"])), case["words"]
    assert isinstance(expected, list)
    skipped = start % 8
    found = Words(seed, "x", start - skipped).take(skipped + len(expected))[skipped:]
    assert found.tolist() == expected


@CASES
def test_fractions_follow_the_vectors(case: dict[str, object]) -> None:
    expected = case["within"]
    assert isinstance(expected, list)
    seed, start = int(str(case["seed"])), int(str(case["start"]))
    found = fractions(seed, "x/within", start, len(expected))
    assert [str(int(one * 2**53)) for one in found] == expected


@pytest.mark.parametrize("path", ["numpy", "numba"])
@CASES
def test_codes_follow_the_vectors(case: dict[str, object], path: Path) -> None:
    expected = case["codes"]
    assert isinstance(expected, dict)
    nodes = compile_nodes(("x", "y"), {"x": (), "y": ("x",)}, TABLES, {})
    start = int(str(case["start"]))
    world = [TableNode(node, None, None) for node in nodes]
    seed, rows = int(str(case["seed"])), len(expected["x"])
    codes = draw(world, seed, start, rows, Engine(path)).codes
    assert dict(zip(("x", "y"), codes.tolist(), strict=True)) == expected


def test_thresholds_follow_the_vectors() -> None:
    assert thresholds(TABLES["x"])[:, 0].tolist() == VECTORS["thresholds"]["x"]
    assert thresholds(TABLES["y"]).T.tolist() == VECTORS["thresholds"]["y"]


def test_words_continue_where_the_last_call_ended() -> None:
    words = Words(5, "node", 0)
    parts = np.concatenate([words.take(8), words.take(16), words.take(3)])
    assert parts.tolist() == Words(5, "node", 0).take(27).tolist()


def test_different_seeds_and_labels_share_no_word() -> None:
    streams = [Words(seed, label, 0).take(64) for seed in (0, 1) for label in ("a", "b", "ab")]
    assert len(np.unique(np.concatenate(streams))) == 6 * 64


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seed_outside_64_bits_is_refused(seed: int) -> None:
    with pytest.raises(UsageError) as refusal:
        check_seed(seed)
    assert refusal.value.code == "seed-out-of-range"
