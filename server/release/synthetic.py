"""The synthetic rows of a release: drawn from the model in batches, kept as Parquet.

One data set is drawn from the point estimate; several, each from another parameter draw.

The sampler's output does not depend on how rows are cut into batches, so that a verifier draws
every row again in the memory of one batch. The file says in its metadata where it comes from.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from protocol.errors import PeerError, UsageError
from protocol.identifiers import Digest
from protocol.study.study import Study
from protocol.study.variables import Count, Numeric, Survival, Variable
from server.causal.model import Model
from server.causal.synthetic.copies import Copy, plan_copies
from server.causal.worlds.columns import EVENT
from server.release.folder import synthetic_names
from server.release.marginals import Tallies

Codes = NDArray[np.intp]  # shape (rows,)

BATCH_ROWS = 1 << 17
RUNG = "observational"  # the first rung of the causal ladder: nothing is set, nothing imagined
_PREFIX = "concause."
_ROUNDING = 1e-9  # relative; exponentials and quantiles may end in other digits elsewhere


def data_sets(study: Study, model: Model) -> Mapping[str, Copy]:
    """Return what each file of synthetic rows is drawn with, by its name."""
    asked = study.synthetic
    copies = plan_copies(asked.copies, seed=asked.seed, draws=model.draws)
    return dict(zip(synthetic_names(asked.copies), copies, strict=True))


def synthetic_metadata(study: Study, model_digest: Digest, copy: Copy) -> dict[bytes, bytes]:
    """Return what the file says about itself."""
    among_others = {
        "copy": str(copy.number),
        "copies": str(study.synthetic.copies),
        "draw": str(copy.draw),
    }
    facts = {
        "format": "concause-synthetic/1",
        "rung": RUNG,
        "study_hash": study.hash.hex(),
        "model_sha256": model_digest.hex(),
        "seed": str(copy.seed),
        "rows": str(study.synthetic.rows),
        **({} if copy.draw is None else among_others),
    }
    return {f"{_PREFIX}{key}".encode(): fact.encode() for key, fact in facts.items()}


def write_synthetic(
    path: Path, study: Study, model: Model, model_digest: Digest, copy: Copy
) -> None:
    """Draw the rows that the study asks for and write them, one row group per batch."""
    spans = _spans(study.synthetic.rows)
    first = _draw(model, copy, spans[0])
    stated = {**(first.schema.metadata or {}), **synthetic_metadata(study, model_digest, copy)}
    schema = first.schema.with_metadata(stated)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        writer.write_table(first.cast(schema))
        for span in spans[1:]:
            writer.write_table(_draw(model, copy, span).cast(schema))


def check_synthetic(
    path: Path, study: Study, model: Model, model_digest: Digest, copy: Copy
) -> str:
    """Check the metadata and every row against the model; say what was compared.

    Holds one batch at a time, however long the file is.

    Raises:
        PeerError: something differs, or the file is not Parquet.
    """
    with _open(path) as file:
        _check_outline(file, study, synthetic_metadata(study, model_digest, copy))
        for group, span in enumerate(_spans(study.synthetic.rows)):
            drawn = _draw(model, copy, span)
            if not _alike(_plain(_group(file, group)), _plain(drawn)):
                raise PeerError("other-rows", "The model with the seed draws other rows.")
    return "all rows drawn again"


def tally_all(folder: Path, study: Study) -> Mapping[str, Tallies]:
    """Return how many rows of all data sets in `folder` have each measured level, per node.

    Raises:
        PeerError: as `tally`.
    """
    each = [tally(folder / name, study) for name in synthetic_names(study.synthetic.copies)]
    nodes = study.causal_graph.nodes
    return {node: np.sum([counts[node] for counts in each], axis=0) for node in nodes}


def tally(path: Path, study: Study) -> Mapping[str, Tallies]:
    """Return how many synthetic rows have each level that is measured, per node.

    Raises:
        PeerError: not Parquet, or with other columns or values than the study declares.
    """
    variables = {node: study.variable(node) for node in study.causal_graph.nodes}
    counts = {node: np.zeros(variable.size, np.int64) for node, variable in variables.items()}
    events = {node + EVENT for node, one in variables.items() if isinstance(one, Survival)}
    with _open(path) as file:
        if set(file.schema_arrow.names) != {*variables, *events}:
            raise PeerError("other-columns", "Expected the columns of the study's variables.")
        for batch in file.iter_batches(BATCH_ROWS):
            for node, variable in variables.items():
                if isinstance(variable, Survival):
                    exits = batch.column(node), batch.column(node + EVENT)
                    counts[node] += _tally_exits(*exits, variable)
                else:
                    counts[node] += _tally_column(batch.column(node), variable)
    return counts


def _spans(rows: int) -> list[tuple[int, int]]:
    """Return (first row, rows) of each batch."""
    starts = [*range(0, rows, BATCH_ROWS), rows]
    return [(start, stop - start) for start, stop in pairwise(starts)]


def _draw(model: Model, copy: Copy, span: tuple[int, int]) -> pa.Table:
    start, rows = span
    frame = model.sample(rows, copy.seed, start, copy.draw)
    return pa.Table.from_pandas(frame, preserve_index=False)


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise PeerError("not-parquet", "Expected a Parquet file, found something else.") from error


def _group(file: pq.ParquetFile, group: int) -> pa.Table:
    try:
        return file.read_row_group(group)
    except (pa.ArrowException, OSError) as error:
        raise PeerError("not-parquet", "Expected rows as Parquet, found none to read.") from error


def _check_outline(file: pq.ParquetFile, study: Study, expected: Mapping[bytes, bytes]) -> None:
    stated = file.schema_arrow.metadata or {}
    for key, fact in expected.items():
        if stated.get(key) != fact:
            raise PeerError("other-metadata", f"Expected {key.decode()} = {fact.decode()}.")
    rows = file.metadata.num_rows
    if rows != study.synthetic.rows:
        raise PeerError("other-rows", f"Expected {study.synthetic.rows:,} rows, found {rows:,}.")
    groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    if groups != [count for _, count in _spans(rows)]:
        raise PeerError("other-batches", f"Expected row groups of {BATCH_ROWS:,} rows.")


def _plain(table: pa.Table) -> pa.Table:
    """Return the table without metadata, and with words in place of dictionary codes."""
    columns = {
        name: column.cast(pa.string()) if _is_dictionary(column.type) else column
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    return pa.table(columns)


def _alike(found: pa.Table, drawn: pa.Table) -> bool:
    """Return whether tables are the same; numbers may differ by another machine's rounding."""
    if found.schema != drawn.schema or found.num_rows != drawn.num_rows:
        return False
    return all(
        _near(one, other) if pa.types.is_floating(one.type) else one.equals(other)
        for one, other in zip(found.columns, drawn.columns, strict=True)
    )


def _near(found: pa.ChunkedArray, drawn: pa.ChunkedArray) -> bool:
    one, other = (np.asarray(column.to_numpy(), dtype=np.float64) for column in (found, drawn))
    return bool(np.allclose(one, other, rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True))


def _is_dictionary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(kind))


def _tally_column(column: pa.Array, variable: Variable) -> Tallies:
    missing = variable.missing_code
    if column.null_count and missing is None:
        raise PeerError("value-outside-domain", "A value is missing that may not be.")
    codes = _codes(column.drop_null(), variable)
    tally = np.bincount(codes, minlength=variable.size).astype(np.int64)
    if missing is not None:
        tally[missing] += column.null_count
    return tally


def _tally_exits(times: pa.Array, events: pa.Array, variable: Survival) -> Tallies:
    if times.null_count or events.null_count:
        raise PeerError("value-outside-domain", "A value is missing that may not be.")
    seen = events.to_numpy(zero_copy_only=False)
    if not np.isin(seen, (0, 1)).all():
        raise PeerError("value-outside-domain", "Expected events as 0 or 1.")
    codes = _bins(times, variable) + np.where(seen == 1, 0, len(variable.intervals))
    return np.bincount(codes, minlength=variable.size).astype(np.int64)


def _bins(present: pa.Array, variable: Numeric | Count | Survival) -> Codes:
    """Return the bins of numbers, clamped to the outer ones."""
    edges = np.array([float(edge) for edge in variable.edges])
    found = np.searchsorted(edges, present.to_numpy(zero_copy_only=False), side="right") - 1
    bins: Codes = np.clip(found, 0, len(edges) - 2)
    return bins


def _codes(present: pa.Array, variable: Variable) -> Codes:
    """Return the codes of values, none of them missing."""
    if isinstance(variable, Numeric | Count):
        return _bins(present, variable)
    if _is_dictionary(present.type):
        present = present.cast(present.type.value_type)
    words = present.dictionary_encode()
    code_of = np.array([_code_of(it, variable) for it in words.dictionary.to_pylist()], np.intp)
    codes: Codes = code_of[words.indices.to_numpy(zero_copy_only=False)]
    return codes


def _code_of(word: str | int, variable: Variable) -> int:
    try:
        return variable.code_of(word)
    except UsageError as error:
        raise PeerError("value-outside-domain", error.cause) from error
