"""Where a new generation is expected to listen, and which addresses it may leave.  Pure.

A reload that listens on less than what serves now would take something away, so it does not
become ready.  It is meant where the configuration says so: by `drops`, by naming all its
addresses (`listen`), or where the port itself was taken out of the command or a variable.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from gapless.supervisor.memory.spec import AppSpec

_ANY = ("0.0.0.0", "[::]")  # noqa: S104 - compared, not bound
_MAPPED = "::ffff:"
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
ONLY_V6, DATAGRAMS = " v6only", "udp:"
OF_ANOTHER = " belongs to the app "
"""Stands between an address and the app that has it, where another one is refused."""
DROPPED = r"^((udp:)?([0-9.]+|\[[0-9a-fA-F:.]+\])?:)?\d{1,5}$|^(unix:)?/.+$"
"""What may stand in `drops`: a port, an address or a path."""
NODE_INSPECTOR = "9229"
_OPENED_LATER = f"127.0.0.1:{NODE_INSPECTOR}"
"""Where SIGUSR1 opens it in a process that runs: https://nodejs.org/api/debugger.html"""
BY_SIGNAL = "the inspector of Node, which a signal opened"
"""Why it is left.  It is no address of the app, which may have none."""
_INSPECTORS = ("--inspect", "--inspect-brk")


def covers(wide: str, narrow: str) -> bool:
    """Return whether who listens on *wide* alone gets the connections to *narrow*.

    Both as the names of groups: `host:port`, with ` v6only` if that is set (ipv6(7)).
    """
    if wide.startswith(DATAGRAMS) != narrow.startswith(DATAGRAMS):
        return False
    wide, narrow = wide.removeprefix(DATAGRAMS), narrow.removeprefix(DATAGRAMS)
    wide_host, _, wide_port = wide.removesuffix(ONLY_V6).rpartition(":")
    host, _, port = narrow.removesuffix(ONLY_V6).rpartition(":")
    if wide_port != port:
        return False
    if (wide_host, wide.endswith(ONLY_V6)) == (host, narrow.endswith(ONLY_V6)):
        return True
    is_v6 = host.startswith("[")
    if wide_host == "[::]":
        return not wide.endswith(ONLY_V6) or (is_v6 and host != "[::]")
    return wide_host == _ANY[0] and not is_v6


def is_wild(group: str) -> bool:
    """Return whether who listens there is at every address of the host."""
    return group.removesuffix(ONLY_V6).rpartition(":")[0] in _ANY


def reaches(group: str, host: str, port: int) -> bool:
    """Return whether a connection comes to *group*, if the address is of this host.

    An address of IPv4 may be written as one of IPv6, and none at all is loopback (ip(7)).
    """
    host = host.removeprefix(_MAPPED) if "." in host else host
    host = _LOOPBACK.get(host, host)
    return covers(group, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def overlap(one: str, other: str) -> bool:
    """Return whether two addresses share some connections."""
    return covers(one, other) or covers(other, one)


def expected(
    ordinal: int,
    listens: Mapping[int, Collection[str]],
    listening: Collection[str],
    leaves: Collection[str] = (),
) -> set[str]:
    """Return on which addresses a seat has to listen, as the generation before did.

    *listens* has the addresses of each of its seats that has an instance, *listening* all
    that it holds now, *leaves* those that the app may leave.  Seats may differ: a port for
    each, or a metrics port in one.  A seat that was empty, or is new, has to do what at
    least two others do; what one alone does may be its own.
    """
    if not listens:
        own = set(listening)
    elif ordinal in listens:
        own = set(listens[ordinal])
    elif len(listens) > 1:
        own = set.intersection(*(set(each) for each in listens.values()))
    else:
        own = set()
    return (own & set(listening)) - set(leaves)


def dropped(
    running: AppSpec,
    wanted: AppSpec,
    addresses: Iterable[str],
    drops: Collection[str] = (),
) -> dict[str, str]:
    """Return which addresses the new configuration gives up, and by which word.

    *drops* was said besides.
    """
    found = {
        address: said_by((*wanted.drops, *drops), address)
        or _taken_out(running, wanted, address)
        for address in addresses
    }
    return {address: reason for address, reason in found.items() if reason}


def said_by(drops: Collection[str], address: str) -> str:
    """Return which word says that an address may be left; empty if none does."""
    port = address.rpartition(":")[2]
    for entry in drops:
        if entry.removeprefix(":") in (port, address):
            return f"drops = [{entry}]"
    return ""


def _taken_out(running: AppSpec, wanted: AppSpec, address: str) -> str:
    """Return which word of the configuration was the port, and is no longer."""
    port = address.rpartition(":")[2]
    if wanted.listen and address in running.listen and address not in wanted.listen:
        return "listen changed"
    if any(_mentions(value, port) for _, value in _settings(wanted)):
        return ""
    if address == _OPENED_LATER and not _names(running, port):
        return BY_SIGNAL
    after = set(_settings(wanted)) | set(wanted.environment.items())
    inherited = tuple((k, v) for k, v in running.environment.items() if v == port)
    for name, value in (*_settings(running), *inherited):
        if (name, value) not in after and _is_port(name, value, port):
            is_word = not name or name.startswith("-")
            return "command changed" if is_word else f"environment.{name} changed"
    return ""


def _names(spec: AppSpec, port: str) -> bool:
    """Return whether a configuration names a port, in any word or variable of it."""
    settings = (*_settings(spec), *spec.environment.items())
    return any(
        _mentions(value, port) or any(each in value for each in _INSPECTORS)
        for _, value in settings
    ) or port in str(spec.listen)


_SAYS_PORT = re.compile(r"port|addr|listen|bind|inspect|host|^-p$", re.IGNORECASE)


def _settings(spec: AppSpec) -> tuple[tuple[str, str], ...]:
    """Return what of a configuration can name a port: words of the command, variables."""
    words = []
    before = ""
    for word in spec.command[1:]:
        option, equals, value = word.partition("=")
        if option in _INSPECTORS and not equals:
            words.append((option, NODE_INSPECTOR))
        elif option.startswith("-") and equals:
            words.append((option, value))
        else:
            words.append((before if before.startswith("-") else "", word))
        before = word
    variables = [(name, spec.environment.get(name, "")) for name in spec.configured]
    return (*words, *variables)


def _is_port(name: str, value: str, port: str) -> bool:
    """Return whether a setting is a port, by its form or by its name.

    A number may as well be a time or a size; a path is nothing else.
    """
    if port.startswith("/"):
        return value.endswith(port)
    if value.endswith(f":{port}"):
        return True
    says = not name or _SAYS_PORT.search(name) is not None
    return value == port and says


def _mentions(value: str, port: str) -> bool:
    """Return whether a port stands in a value as a number of its own."""
    return re.search(rf"(?<![\d.]){re.escape(port)}(?![\d.])", value) is not None
