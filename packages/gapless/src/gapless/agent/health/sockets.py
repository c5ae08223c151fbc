"""The listening sockets of the health answer: the host's own address, and loopback."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

from gapless.agent.address import join, split
from gapless.base.errors import MisuseError
from gapless.base.kernel import listening

LOOPBACK = "127.0.0.1"
BACKLOG = 1024
_ALL = "*"


def listen(address: str, own: Sequence[str] = ()) -> list[socket.socket]:
    """Listen on `host:port`; return the sockets, which do not block.

    Without a host that is the first of the host's *own* addresses that is here (behind NAT
    a given one is not), and loopback, for a balancer on the same host.  `*` means every
    address.  Raises MisuseError.
    """
    host, port = split(address)
    if host:
        return [_listen_or_refuse("" if host == _ALL else host, port)]
    sockets: list[socket.socket] = []
    try:
        for each in dict.fromkeys(name for name in own if name):
            try:
                sockets.append(listening.listen(listening.find(each, port), BACKLOG))
            except OSError as error:
                if not _is_elsewhere(error):
                    raise _refusal(each, port, error) from error
            else:
                break
        if sockets and port == "0":
            port = str(sockets[0].getsockname()[1])
        if not sockets or sockets[0].getsockname()[0] != LOOPBACK:
            sockets.append(_listen_or_refuse(LOOPBACK, port))
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def shown(sockets: Sequence[socket.socket]) -> str:
    """Return the addresses on which sockets listen, for people."""
    names = [sock.getsockname() for sock in sockets]
    return " and ".join(join(str(name[0]), str(name[1])) for name in names)


def _is_elsewhere(error: OSError) -> bool:
    """Return whether an address is that of another host, or a name that nobody knows."""
    return isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL


def _listen_or_refuse(host: str, port: str) -> socket.socket:
    try:
        return listening.listen(listening.find(host, port), BACKLOG)
    except (OSError, ValueError, OverflowError) as error:
        raise _refusal(host, port, error) from error


def _refusal(host: str, port: str, error: Exception) -> MisuseError:
    reason = getattr(error, "strerror", None) or error
    return MisuseError(
        f"cannot answer balancers on {join(host or _ALL, port)}: {reason}",
        hint="gapless agent --health [HOST]:PORT, or health_listen = in the file",
    )
