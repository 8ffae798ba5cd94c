"""TLS for a demonstration on one machine: an authority of one certificate.

The authority's key is thrown away as soon as it has signed, so nobody can make another.
A consortium has its own authority; this is not how.
"""

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_LIFETIME = timedelta(days=2)
_SKEW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths, all PEM: what everyone trusts; `name`.pem and `name`.key stand beside it."""

    root: Path

    def of(self, name: str) -> tuple[Path, Path]:
        """Return the certificate of a process, and its private key."""
        return self.root.with_name(f"{name}.pem"), self.root.with_name(f"{name}.key")


def make_certificates(folder: Path, names: Sequence[str], *, now: datetime) -> Certificates:
    """Write an authority and a certificate for 127.0.0.1 of each name, good for two days."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = Certificates(folder / "root.pem")
    authority_key, authority = ec.generate_private_key(ec.SECP256R1()), _name("concause demo")
    root = _certificate(
        authority, authority_key, authority, authority_key.public_key(), _of_authority(), now
    )
    made.root.write_bytes(root.public_bytes(Encoding.PEM))
    for name in names:
        key = ec.generate_private_key(ec.SECP256R1())
        shown = _certificate(
            authority, authority_key, _name(name), key.public_key(), _of_loopback(), now
        )
        certificate, private = made.of(name)
        certificate.write_bytes(shown.public_bytes(Encoding.PEM))
        _write_private(private, key)
    return made


def _write_private(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(pem)


def _certificate(
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
    now: datetime,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, hashes.SHA256())


def _of_authority() -> Sequence[tuple[x509.ExtensionType, bool]]:
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return [(x509.BasicConstraints(ca=True, path_length=0), True), (usage, True)]


def _of_loopback() -> Sequence[tuple[x509.ExtensionType, bool]]:
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), loopback])
    return [(x509.BasicConstraints(ca=False, path_length=None), True), (names, False)]


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
