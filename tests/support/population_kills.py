"""A process that writes a population, to be killed: `python -m tests.support.population_kills`."""

import sys
from pathlib import Path

from server.causal.production.population import write_population
from tests.support.networks import asia

if __name__ == "__main__":
    folder, rows = Path(sys.argv[1]), int(sys.argv[2])
    write_population(
        asia().model(), folder, rows, seed=1, workers=1, partition_rows=4096, batch_rows=512
    )
