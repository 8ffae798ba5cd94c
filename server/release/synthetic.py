"""The synthetic rows of a release: drawn from the model in batches, kept as Parquet.

The sampler's output does not depend on how rows are cut into batches, so any batch can be
drawn again alone and compared. The file says where it comes from in its metadata.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protocol.errors import PeerError
from protocol.identifiers import Digest
from protocol.study.study import Study
from server.causal.model import Model
from server.release.marginals import Tallies

BATCH_ROWS = 1 << 17
RUNG = "observational"  # rung 1 of Pearl's ladder: no intervention, no counterfactual
_PREFIX = "concause."


def file_metadata(study: Study, model_digest: Digest) -> dict[str, str]:
    """Return what the file says about itself."""
    return {
        "format": "concause-synthetic/1",
        "rung": RUNG,
        "study_hash": study.hash.hex(),
        "model_sha256": model_digest.hex(),
        "seed": str(study.synthetic.seed),
        "rows": str(study.synthetic.rows),
    }


def write_synthetic(path: Path, study: Study, model: Model, model_digest: Digest) -> None:
    """Draw the rows that the study asks for and write them, one row group per batch."""
    metadata = file_metadata(study, model_digest)
    batches = _batches(study, model)
    first = next(batches)
    schema = first.schema.with_metadata(
        {**(first.schema.metadata or {}), **{_PREFIX + key: it for key, it in metadata.items()}}
    )
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        writer.write_table(first.replace_schema_metadata(schema.metadata))
        for batch in batches:
            writer.write_table(batch.cast(schema))


def check_synthetic(path: Path, study: Study, model: Model, model_digest: Digest) -> str:
    """Check metadata, row count and rows against the model; return what was compared.

    Every batch is drawn again up to `_ALL_ROWS` rows, the first and the last beyond that.

    Raises:
        PeerError: something differs, or the file is not Parquet.
    """
    ...


def tally(path: Path, study: Study) -> Mapping[str, Tallies]:
    """Return how many synthetic rows have each level, per variable."""
    ...
