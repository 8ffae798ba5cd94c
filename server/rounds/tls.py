"""Certificates of one end of a mutual TLS connection."""

from dataclasses import dataclass
from pathlib import Path

from protocol.errors import UsageError


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of one end of a connection, and of the authority that both trust."""

    root_certificates: Path
    certificate: Path
    certificate_key: Path

    def read(self) -> tuple[bytes, bytes, bytes]:
        """Return authority, certificate and key.

        Raises:
            UsageError: one of them cannot be read.
        """
        paths = (self.root_certificates, self.certificate, self.certificate_key)
        try:
            root, certificate, key = (path.read_bytes() for path in paths)
        except OSError as error:
            raise UsageError(
                "certificate-not-found",
                f"Expected a PEM file at {error.filename}, found none that can be read.",
                "Check the three certificate paths in the settings.",
            ) from error
        return root, certificate, key
