"""Which addresses a new generation may leave, and which it is expected to serve.  Pure.

A reload that listens on less than what serves now would take something away, so it does not
become ready.  It is meant where the configuration says so: by `drops`, by naming all its
addresses (`listen`), or where the port itself was taken out of the command or a variable.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from gapless.supervisor.memory.spec import AppSpec

_ANY = ("0.0.0.0", "[::]")  # noqa: S104 - compared, not bound
ONLY_V6 = " v6only"
NODE_INSPECTOR = 9229


def covers(wide: str, narrow: str) -> bool:
    """Return whether who listens on *wide* alone gets the connections to *narrow*.

    Both as the names of groups: `host:port`, with ` v6only` if that is set (ipv6(7)).
    """
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


def overlap(one: str, other: str) -> bool:
    """Return whether two addresses share some connections."""
    return covers(one, other) or covers(other, one)


def expected(
    ordinal: int,
    listens: Mapping[int, Collection[str]],
    listening: Collection[str],
    given_up: Collection[str],
) -> set[str]:
    """Return on which addresses a seat has to listen, as the generation before did.

    *listens* has the addresses of each of its seats that has an instance, *listening* all
    that it holds now.  Seats may differ: a port for each, or a metrics port in one.  A seat
    that was empty, or is new, has to do what all others do.
    """
    if not listens:
        own = set(listening)
    elif ordinal in listens:
        own = set(listens[ordinal])
    else:
        own = set.intersection(*(set(each) for each in listens.values()))
    return (own & set(listening)) - set(given_up)


def given_up(
    running: AppSpec, wanted: AppSpec, addresses: Iterable[str]
) -> dict[str, str]:
    """Return which addresses the new configuration gives up, and by which word."""
    return {
        address: reason
        for address in addresses
        if (reason := _why_given_up(running, wanted, address))
    }


def _why_given_up(running: AppSpec, wanted: AppSpec, address: str) -> str:
    port = address.rpartition(":")[2]
    for entry in wanted.drops:
        if entry in (port, address) or entry == f":{port}":
            return f"drops = [{entry}]"
    if address in running.listen and address not in wanted.listen:
        return "listen changed"
    before, after = _settings(running), _settings(wanted)
    if any(_has(value, port) for value in after.values()):
        return ""
    inherited = {
        f"environment.{name}": value
        for name, value in running.environment.items()
        if value == port and wanted.environment.get(name) != value
    }
    for name, value in (before | inherited).items():
        if _has(value, port) and after.get(name) != value:
            return f"{name} changed"
    return ""


def _settings(spec: AppSpec) -> dict[str, str]:
    """Return what of a configuration can name a port: the command and its variables."""
    variables = {
        f"environment.{name}": spec.environment.get(name, "")
        for name in spec.configured
    }
    return {"command": _with_defaults(" ".join(spec.command[1:]))} | {
        name: _with_defaults(value) for name, value in variables.items()
    }


def _with_defaults(words: str) -> str:
    """Return words with the port of Node's inspector, where it is not named."""
    return re.sub(r"(--inspect(-brk)?)(?![=\w-])", rf"\1={NODE_INSPECTOR}", words)


def _has(value: str, port: str) -> bool:
    """Return whether a port stands in a value as a number of its own."""
    return re.search(rf"(?<![\d.]){port}(?![\d.])", value) is not None
