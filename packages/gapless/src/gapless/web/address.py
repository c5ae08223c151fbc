"""Where the page listens: `[HOST:]PORT`, on loopback unless TLS protects what is sent."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from gapless.base.errors import MisuseError
from gapless.base.kernel import listening

DEFAULT = "127.0.0.1:9470"
BACKLOG = 128


def listen(address: str, *, is_secure: bool) -> socket.socket:
    """Listen on an address.  Raises MisuseError."""
    host, port = split(address)
    try:
        place = listening.find(host or "", str(port))
        if not is_secure and not is_loopback(str(place.address[0])):
            raise MisuseError(
                f"the page on {address[:80]!a}: the token would be sent in the clear",
                hint="--tls-cert FILE --tls-key FILE, or listen on loopback and use "
                "`ssh -L 9470:127.0.0.1:9470 HOST`",
            )
        return listening.listen(place, BACKLOG)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise MisuseError(
            f"the page cannot listen on {address[:80]!a}: {reason}",
            hint="gapless web --listen [HOST:]PORT",
        ) from error


def check_certificate(certificate: str, key: str) -> None:
    """Raise MisuseError unless a certificate and its key can be used."""
    import ssl  # noqa: PLC0415 - loaded for TLS alone

    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            certificate, key, password=lambda: ""
        )
    except (OSError, ValueError) as error:  # ssl.SSLError is one of them
        reason = (
            (error.strerror or str(error)).lower()
            if isinstance(error, OSError)
            else error
        )
        raise MisuseError(
            f"the certificate {certificate} with the key {key}: {reason}",
            hint="both are files in PEM, and the key has no password",
        ) from error


def split(address: str) -> tuple[str | None, int]:
    """Return host and port; without a host loopback, `*` is every address."""
    host, _, port = address.rpartition(":")
    if not (
        port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 1 << 16
    ):
        raise MisuseError(
            f"the page cannot listen on {address[:80]!a}: there is no port in it",
            hint="gapless web --listen [HOST:]PORT",
        )
    name = host.strip("[]") or "127.0.0.1"
    return None if name == "*" else name, int(port)


def names(address: str, said: Sequence[str], own: str) -> list[str]:
    """Return the names by which browsers may call this host; the link has the first one.

    *said* are those of the command line, *own* is the name that the host has itself.
    """
    return list(said) or [split(address)[0] or own]


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from this host only."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def shown(sock: socket.socket) -> str:
    """Return where it listens, as it stands in a link."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
