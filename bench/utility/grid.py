"""Which cells are measured: worlds, sizes, budgets, arms and seeds.

Every arm of one (world, rows, seed) sees the same records. Arms that a target compares at one
budget run at that budget alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.utility.asked import asked, is_asked
from bench.utility.directed import DIRECTED
from bench.utility.equal_noise import EQUAL_NOISE
from bench.utility.gaussian import BINNED, GAUSSIAN, gaussian_network
from bench.utility.marginal_based import MarginalBased
from bench.utility.networks import DISCRETE, network
from bench.utility.ours import NO_NOISE, ONE_CURATOR, TEN
from bench.utility.results import Cell
from bench.utility.sites_alone import SITES_ALONE
from bench.utility.world import Arm, World

SMALL, LARGE = 10_000, 100_000
SIZES = (SMALL, LARGE)
EPSILONS = (0.5, 1.0, 3.0)
TARGET_EPSILON = 1.0
SEEDS = 5
# Networks with few effects get more seeds where coverage is measured, so that it is over 200.
MORE_SEEDS: Mapping[str, int] = {"asia": 12}

NETWORKS = (*DISCRETE, *GAUSSIAN)
ASKED = ("alarm-asked", "hailfinder-asked")

MST = MarginalBased("mst")
AIM = MarginalBased("aim")


@dataclass(frozen=True, slots=True)
class Entry:
    """Where one arm runs."""

    arm: Arm
    epsilons: tuple[float, ...] = (TARGET_EPSILON,)
    sizes: tuple[int, ...] = SIZES
    seeds: Mapping[str, int] = field(default_factory=dict)  # where other than SEEDS
    worlds: tuple[str, ...] = NETWORKS
    kept_in: Path | None = None  # where runs have to be kept already, for slow peers

    def cells(self, world: str) -> Iterator[Cell]:
        """Yield the cells of this arm on a world."""
        if world not in self.worlds:
            return
        for rows in self.sizes:
            for epsilon in self.epsilons:
                for seed in range(self.seeds.get(world, SEEDS)):
                    cell = Cell(world, rows, epsilon, self.arm.name, seed)
                    if self.kept_in is None or _is_kept(cell, self.kept_in):
                        yield cell


def _is_kept(cell: Cell, folder: Path) -> bool:
    """Return whether a peer's run is kept, by the names that `marginal_based.py` gives them."""
    name = f"{cell.arm}-{cell.world}-{cell.rows}-{cell.epsilon:g}-{cell.seed}.npz"
    return (folder / name).exists()


@dataclass(frozen=True, slots=True)
class Grid:
    """All cells of one run of the benchmark."""

    worlds: tuple[str, ...]
    entries: tuple[Entry, ...]

    def cells(self, world: str) -> list[tuple[Cell, Arm]]:
        """Return the cells of a world, those of the same records together."""
        found = [(cell, entry.arm) for entry in self.entries for cell in entry.cells(world)]
        return sorted(found, key=lambda one: (one[0].rows, one[0].seed))


def full(*, aim: bool) -> Grid:
    """Return the whole grid. AIM takes minutes to hours a run: unless asked for, kept runs only."""
    entries = (
        Entry(TEN, EPSILONS, seeds=MORE_SEEDS),
        Entry(EQUAL_NOISE, EPSILONS),
        Entry(ONE_CURATOR),
        Entry(NO_NOISE),
        Entry(SITES_ALONE, sizes=(SMALL,)),
        Entry(MST, sizes=(SMALL,)),
        Entry(AIM, sizes=(SMALL,), kept_in=None if aim else AIM.folder),
        Entry(TEN, worlds=BINNED),
        *(Entry(arm, sizes=(SMALL,), worlds=ASKED) for arm in (TEN, DIRECTED)),
    )
    return Grid((*NETWORKS, *BINNED, *ASKED), entries)


def quick() -> Grid:
    """Return asia and alarm at one budget; of the peers that take minutes, kept runs only."""
    entries = (
        Entry(TEN, seeds=MORE_SEEDS),
        Entry(EQUAL_NOISE),
        Entry(ONE_CURATOR),
        Entry(NO_NOISE),
        Entry(SITES_ALONE, sizes=(SMALL,)),
        *(Entry(peer, sizes=(SMALL,), kept_in=peer.folder) for peer in (MST, AIM)),
    )
    return Grid(("asia", "alarm"), entries)


def world_of(name: str) -> World:
    """Return a world by name."""
    if is_asked(name):
        return asked(name)
    return network(name) if name in DISCRETE else gaussian_network(name)
