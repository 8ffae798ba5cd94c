"""Can this site reach the coordinator, and if not, why: the network, a clock, a name, an authority.

Opens one TLS connection as the SuperNode would, through the site's proxy if there is one, and asks
for nothing but the time.
"""

import email.utils
import http.client
import os
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from client.gate.flower import direct_loopback
from protocol.checkup import Finding, Health, certificate_findings, good

CHECK = "coordinator"
_TIMEOUT_S = 10.0
_SKEW_S = 60
_STOPPED = "The site takes part in no round."
# OpenSSL's codes (x509_vfy.h), with what each means here.
_REASONS = {
    9: ("its certificate is not yet valid", "Set this machine's clock; it may be behind."),
    10: (
        "its certificate has expired",
        "Have the coordinator renew it; check this machine's clock, too.",
    ),
    62: (
        "its certificate is for another name",
        "Check `superlink` in site.toml, or have the coordinator add this name.",
    ),
    64: (
        "its certificate is for another address",
        "Check `superlink` in site.toml, or have the coordinator add this address.",
    ),
}
_OTHER_AUTHORITY = (
    "its certificate is signed by an authority that this site does not trust",
    (
        "Install the newest welcome. If a proxy of yours opens TLS, have it pass this address "
        "through, or add its authority to root_certificates."
    ),
)


def probe(
    superlink: str,
    roots: Path | None,
    *,
    insecure: bool,
    now: int,
    environment: Mapping[str, str] = os.environ,
) -> list[Finding]:
    """Return what a connection to the SuperLink shows; `now` in seconds since 1970."""
    host, _, port = superlink.rpartition(":")
    proxy = _proxy(host, environment)
    try:
        raw = _connected(host, int(port), proxy)
    except _ProxyError as error:
        return [_error(f"the proxy {proxy} says: {error}", "Have it allow CONNECT to the address.")]
    except OSError as error:
        through = f" through the proxy {proxy}" if proxy else ""
        return [
            _error(
                f"{superlink} cannot be reached{through}: {error.strerror or error}",
                "Check the address, the firewall (outbound TCP), HTTPS_PROXY and NO_PROXY.",
            )
        ]
    with raw:
        if insecure:
            return [good(CHECK, f"{superlink} can be reached, without TLS"), *_skew(raw, host, now)]
        return _secured(raw, host, superlink, roots, now)


def _secured(
    raw: socket.socket, host: str, superlink: str, roots: Path | None, now: int
) -> list[Finding]:
    try:
        context = ssl.create_default_context(cafile=str(roots) if roots else None)
    except (OSError, ssl.SSLError):
        return [_error(f"{roots} holds no certificates", "Install the newest welcome.")]
    try:
        with context.wrap_socket(raw, server_hostname=host) as secured:
            shown = secured.getpeercert(binary_form=True) or b""
            pem = ssl.DER_cert_to_PEM_cert(shown).encode()
            found = [good(CHECK, f"{superlink} can be reached, and is who it says")]
            found += certificate_findings("coordinator's certificate", pem, now=now)
            return found + _skew(secured, host, now)
    except ssl.SSLCertVerificationError as error:
        what, remedy = _REASONS.get(error.verify_code, _OTHER_AUTHORITY)
        return [_error(f"{superlink} answers, but {what}", remedy)]
    except (OSError, ssl.SSLError) as error:
        return [
            _error(
                f"{superlink} answers, but not in TLS ({error.strerror or error})",
                "Check the port; a proxy or another service may stand in the way.",
            )
        ]


def _skew(connection: socket.socket, host: str, now: int) -> list[Finding]:
    """Compare clocks by the Date of an answer; none without one."""
    try:
        connection.settimeout(_TIMEOUT_S)
        request = f"HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode("ascii"))
        response = http.client.HTTPResponse(connection)
        response.begin()
        theirs = email.utils.parsedate_to_datetime(response.getheader("Date", "")).timestamp()
    except (OSError, http.client.HTTPException, ValueError, TypeError):
        return []
    apart = int(now - theirs)
    if abs(apart) <= _SKEW_S:
        return [good("clock", f"{abs(apart)} s apart from the coordinator's")]
    side = "ahead of" if apart > 0 else "behind"
    return [
        Finding(
            "clock",
            Health.WARNING,
            f"{abs(apart)} s {side} the coordinator's",
            "Deadlines and expiries are judged by the wrong time.",
            "Have both machines keep time (NTP).",
        )
    ]


class _ProxyError(OSError):
    """A proxy that does not connect."""


def _connected(host: str, port: int, proxy: str | None) -> socket.socket:
    if proxy is None:
        return socket.create_connection((host, port), _TIMEOUT_S)
    address = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    raw = socket.create_connection((address.hostname or "", address.port or 3128), _TIMEOUT_S)
    raw.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode("ascii"))
    response = http.client.HTTPResponse(raw, method="CONNECT")
    try:
        response.begin()
    except http.client.HTTPException as error:
        raw.close()
        raise _ProxyError("nothing that is HTTP") from error
    if response.status != http.client.OK:
        raw.close()
        raise _ProxyError(f"{response.status} {response.reason}")
    return raw


def _proxy(host: str, environment: Mapping[str, str]) -> str | None:
    """Return the proxy for a host, as HTTPS_PROXY and NO_PROXY say to the SuperNode."""
    direct = direct_loopback(environment)["NO_PROXY"]
    if any(host == name or host.endswith(f".{name.lstrip('.')}") for name in _listed(direct)):
        return None
    return environment.get("HTTPS_PROXY") or environment.get("https_proxy") or None


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _error(found: str, remedy: str) -> Finding:
    return Finding(CHECK, Health.ERROR, found, _STOPPED, remedy)
