"""A consortium's own certificate authority: one root, one certificate per server.

For consortia that have none of their own; a hospital's or a public one does as well. The root's key
signs nothing but servers' certificates (path length 0), and may be kept off the machine.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocol.errors import UsageError
from server.rounds.signing_key import write_new

ROOT_LIFETIME = timedelta(days=3650)
SERVER_LIFETIME = timedelta(days=397)
_SKEW = timedelta(hours=1)  # of clocks that are not quite in step


@dataclass(frozen=True, slots=True)
class Authority:
    """Where the root is: `root.pem`, and `root.key` beside it."""

    folder: Path

    @property
    def root(self) -> Path:
        """Return the certificate that everyone trusts."""
        return self.folder / "root.pem"

    def of(self, name: str) -> tuple[Path, Path]:
        """Return the certificate of a server, and its private key."""
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def create(
        self, name: str, *, now: datetime, lifetime: timedelta = ROOT_LIFETIME
    ) -> x509.Certificate:
        """Make the root.

        Raises:
            StorageError: there is one, or the folder cannot be written.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(f"{name} authority")
        root = _certificate(subject, key, subject, key.public_key(), _of_root(), now, lifetime)
        write_new(self.folder / "root.key", _pem(key))
        write_new(self.root, root.public_bytes(Encoding.PEM))
        return root

    def certify(
        self,
        name: str,
        hosts: Sequence[str],
        *,
        now: datetime,
        lifetime: timedelta = SERVER_LIFETIME,
        renew: bool = False,
    ) -> x509.Certificate:
        """Make a server's key and certificate; with `renew`, in place of those that are there.

        A certificate never outlives the root.

        Raises:
            UsageError: there is no authority here, or no host was named.
            StorageError: the server has a certificate already.
        """
        if not hosts:
            raise UsageError("no-host", "Expected a host name or address, found none.", "Name one.")
        root, root_key = self._load()
        key = ec.generate_private_key(ec.SECP256R1())
        ends = min(lifetime, root.not_valid_after_utc - now)
        made = _certificate(
            root.subject, root_key, _name(name), key.public_key(), _of_server(hosts), now, ends
        )
        certificate, private = self.of(name)
        if renew:
            for path in (certificate, private):
                path.unlink(missing_ok=True)
        write_new(private, _pem(key))
        write_new(certificate, made.public_bytes(Encoding.PEM))
        return made

    def _load(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        try:
            root = x509.load_pem_x509_certificate(self.root.read_bytes())
            key = load_pem_private_key((self.folder / "root.key").read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(
                "authority-missing",
                f"Expected a certificate authority in {self.folder}, found none that can be read.",
                "Make one with `concause coordinator authority`, or have your own sign.",
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise UsageError("authority-missing", f"Expected an EC key in {self.folder}.", "")
        return root, key


def _certificate(  # noqa: PLR0913, PLR0917 - the parts of a certificate
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
    now: datetime,
    lifetime: timedelta,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, hashes.SHA256())


def _of_root() -> Sequence[tuple[x509.ExtensionType, bool]]:
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


def _of_server(hosts: Sequence[str]) -> Sequence[tuple[x509.ExtensionType, bool]]:
    names = x509.SubjectAlternativeName(list(map(_general_name, hosts)))
    uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    no_authority = x509.BasicConstraints(ca=False, path_length=None)
    return [(no_authority, True), (names, False), (uses, False)]


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
