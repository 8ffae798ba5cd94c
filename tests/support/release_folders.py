"""Release folders for tests: written once, copied, altered and signed again."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.signing import public_key
from server.release.folder import ReleaseFile, file_digest
from server.release.manifest import FileRecord, decode_manifest, encode_manifest, sign_manifest
from server.release.summary import ReleaseSummary
from server.release.write import write_release
from tests.support.release_rounds import PlayedRound

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
LATER = datetime(2026, 2, 3, 4, 5, 7, tzinfo=UTC)


def write(folder: Path, played: PlayedRound, *, now: datetime = NOW) -> ReleaseSummary:
    """Write a release of a round."""
    return write_release(folder, **played.arguments, now=now)


def alter_row(path: Path, row: int) -> None:
    """Exchange coffee for none, or none for coffee, in one synthetic row; nothing else changes."""
    table, batch = pq.read_table(path), pq.read_metadata(path).row_group(0).num_rows
    position = table.column_names.index("coffee")
    values = table.column(position).to_pylist()
    values[row] = 0 if values[row] else 1
    altered = pa.array(values, table.schema.field(position).type)
    pq.write_table(table.set_column(position, table.schema.field(position), altered), path, batch)


def sign_again(folder: Path, key: Ed25519PrivateKey, **changes: object) -> None:
    """Make the manifest fit what is in the folder now, and sign it with `key`."""
    path = folder / ReleaseFile.MANIFEST
    manifest = decode_manifest(path.read_bytes()).manifest
    files = {
        file.name: FileRecord(sha256=file_digest(file).hex(), size=file.stat().st_size)
        for file in folder.iterdir()
        if file != path
    }
    update = {"files": files, "coordinator": public_key(key).hex(), **changes}
    path.write_bytes(encode_manifest(sign_manifest(manifest.model_copy(update=update), key)))
