"""One listening socket of an app, and what the next supervisor is told of it."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from gapless.base import codec
from gapless.supervisor.sockets.unix.place import Place


@dataclass(slots=True)
class Listener:
    """One listening socket of one generation."""

    name: str
    app: str
    generation: int
    address: str
    """`host:port`, as people write it; `unix:` and a path, or `udp:` before."""
    group: str
    sock: socket.socket
    listening: bool = False
    leaving: bool = False
    shut: bool = False
    """Whether it is there only to let no connection begin: see `Listeners.quiesce`."""
    quiesced: bool = False
    """Whether other apps of its address have the part of its app: ibid."""
    place: Place | None = None
    """Where it is in the file system, if it is a Unix-domain socket."""
    seat: int | None = None
    """The seat whose instances accept from it, if not all of its generation do."""
    vacant: bool = False
    """Whether no instance in its seat accepts now."""
    made_by: str = ""
    """The key of the instance that bound it first; "" if another supervisor made it."""
    part_of: str = ""
    """The wider address that serves; it is hidden, and may be a question (ibid.)."""
    parked: bool = False
    """Whether it is to leave, and has to wait: see `Groups.has_to_wait`."""
    released: bool = False
    """Whether the keeper was told to close it."""
    shared_as: str = ""
    """The word of the apps that share its address; "" if it is of one app alone."""
    number: int = 0
    """The number of its app among those."""
    accepting: int = 1
    """How many instances accept from it, if the address is shared."""

    @property
    def datagrams(self) -> bool:
        """Whether it is one of UDP: it is in its group since it was bound."""
        return self.address.startswith("udp:")

    @property
    def tcp_port(self) -> int | None:
        """The port, if it is one of TCP."""
        if self.place is not None or self.datagrams:
            return None
        return int(self.address.rpartition(":")[2])


class ByName(dict[str, Listener]):
    """Listening sockets by name, and by app."""

    def __init__(self) -> None:
        super().__init__()
        self._by_app: dict[str, dict[str, Listener]] = {}

    def __setitem__(self, name: str, listener: Listener) -> None:
        """Add a socket."""
        super().__setitem__(name, listener)
        self._by_app.setdefault(listener.app, {})[name] = listener

    def take(self, name: str) -> Listener | None:
        """Remove a socket, if it is there."""
        listener = super().pop(name, None)
        if listener is not None:
            own = self._by_app[listener.app]
            del own[name]
            if not own:
                del self._by_app[listener.app]
        return listener

    def of_app(self, app: str) -> list[Listener]:
        """Return the sockets of an app."""
        return list(self._by_app.get(app, {}).values())


def meta_of(listener: Listener) -> dict[str, object]:
    """Return what the keeper is told of a socket, for the next supervisor."""
    meta: dict[str, object] = {
        "app": listener.app,
        "generation": listener.generation,
        "address": listener.address,
        "group": listener.group,
        "shut": listener.shut,
        "quiesced": listener.quiesced,
        "seat": listener.seat,
        "leaving": listener.leaving,
        "shared_as": listener.shared_as,
        "number": listener.number,
    }
    if listener.place is not None:
        meta["path"], meta["beside"] = listener.place.path, listener.place.beside
        meta["place"] = codec.encode(listener.place)
    return meta


def with_meta(name: str, meta: dict[str, object], sock: socket.socket) -> Listener:
    """Return a socket of which `meta_of` was told."""
    found = meta.get("place")
    listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    return Listener(
        name=name,
        app=str(meta["app"]),
        generation=int(str(meta["generation"])),
        address=str(meta["address"]),
        group=str(meta["group"]),
        sock=sock,
        listening=bool(listening) or str(meta["address"]).startswith("udp:"),
        shut=bool(meta["shut"]),
        quiesced=bool(meta.get("quiesced")),
        seat=seat if isinstance(seat := meta.get("seat"), int) else None,
        leaving=bool(meta.get("leaving")),
        shared_as=str(meta.get("shared_as", "")),
        number=number if isinstance(number := meta.get("number"), int) else 0,
        place=None if found is None else codec.decode(Place, found, "place"),
    )
