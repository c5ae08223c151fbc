"""The records of rollouts in a coordinator: JSON with a version and a checksum.

Each decoder returns values that have the types and the bounds of `fields`, names that
`base/names.py` knows, and texts that can be printed; or it raises ValueError with the field
and the reason.  A checksum finds what was cut off; it proves nothing about who wrote it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

from gapless.base.names import ReleaseName, is_address, is_host_name
from gapless.base.outside.text import printable
from gapless.coordinator import decoding
from gapless.coordinator.model import LARGEST_VALUE_BYTES
from gapless.rollout.fields import MOST_ADDRESSES, MOST_RELEASES, MOST_TEXT
from gapless.rollout.model import (
    DrainingHosts,
    HostReport,
    PastHost,
    PastRollout,
    Rollout,
)
from gapless.rollout.policy import is_window

FORMAT = 1
_LINES = "\n\t"
"""What stays in a text for people: the last lines of a log have both."""
Kind = TypeVar("Kind")


def encode(kind: str, value: dict[str, Any]) -> bytes:
    """Return a record of a kind; *value* holds JSON values."""
    plain = {"format": FORMAT, "kind": kind, "value": value}
    return json.dumps(plain | {"sha256": _checksum(plain)}, sort_keys=True).encode()


def decode(kind: str, content: bytes) -> dict[str, Any]:
    """Return the value of a record.  Raises ValueError with the reason."""
    plain = decoding.plain(content, LARGEST_VALUE_BYTES)
    try:
        checksum = plain.pop("sha256")
        found, value, named = plain["format"], plain["value"], plain["kind"]
    except (KeyError, TypeError, AttributeError):
        raise ValueError("it is no record") from None
    if found != FORMAT:
        raise ValueError(f"its format is {_shown(found)}, not {FORMAT}")
    if checksum != _checksum(plain):
        raise ValueError("its checksum is wrong")
    if named != kind or not isinstance(value, dict):
        raise ValueError(f"it is a record of {_shown(named)}, not of {kind!r}")
    return value


def encode_rollout(rollout: Rollout) -> bytes:
    """Return a rollout as a record."""
    rollout = replace(
        rollout,
        reason=_text(rollout.reason),
        failure=_text(rollout.failure),
        by=_line(rollout.by),
    )
    plain = dataclasses.asdict(rollout) | {"state": rollout.state.value}
    return encode("rollout", plain)


def decode_rollout(content: bytes, app: str) -> Rollout:
    """Return the rollout of an app from a record.  Raises ValueError."""
    found = _decoded("rollout", "rollout", Rollout, content)
    if found.app != app:
        raise ValueError(f"app: it is of {_shown(found.app)}, not of {app}")
    if found.number < 1 or found.attempt < 1:
        raise ValueError("number, attempt: they count from 1")
    _check_releases(app, release=found.release, previous=found.previous)
    _check_hosts("policy.canary", found.policy.canary)
    for text in found.policy.freeze:
        if not is_window(text):
            raise ValueError(f"policy.freeze: {_shown(text)} is no window")
    return replace(
        found,
        reason=_text(found.reason),
        failure=_text(found.failure),
        by=_line(found.by),
        signed_by=_line(found.signed_by),
    )


def encode_host(report: HostReport) -> bytes:
    """Return the report of a host as a record."""
    addresses = report.addresses[:MOST_ADDRESSES]
    in_use = report.in_use[:MOST_RELEASES]
    report = replace(
        report, reason=_text(report.reason), addresses=addresses, in_use=in_use
    )
    return encode("host", dataclasses.asdict(report) | {"phase": report.phase.value})


def decode_host(content: bytes, host: str) -> HostReport:
    """Return the report of a host from a record.  Raises ValueError."""
    found = _decoded("host", "report of a host", HostReport, content)
    _check_hosts("host", (found.host,))
    if found.host != host:
        raise ValueError(f"host: it is the report of {found.host}")
    _check_label("release", found.release)
    _check_label("finished", found.finished)
    for name in found.in_use:
        _check_label("in_use", name)
    for address in (*found.addresses, *((found.health,) if found.health else ())):
        if not is_address(address):
            raise ValueError(f"addresses, health: {_shown(address)} is no address")
    return replace(found, reason=_text(found.reason))


def encode_past(past: PastRollout) -> bytes:
    """Return how a rollout ended as a record that is not too large."""
    content = _encode_past(past, 1000)
    return content if len(content) <= LARGEST_VALUE_BYTES else _encode_past(past, 100)


def _encode_past(past: PastRollout, most: int) -> bytes:
    """Return the record with so many characters of each reason of a host."""
    hosts = {
        name: replace(each, reason=_text(each.reason)[:most])
        for name, each in past.hosts.items()
    }
    found = replace(past, hosts=hosts, reason=_text(past.reason), by=_line(past.by))
    return encode("history", dataclasses.asdict(found))


def decode_past(content: bytes, app: str) -> PastRollout:
    """Return how a rollout of an app ended.  Raises ValueError."""
    found = _decoded("history", "end of a rollout", PastRollout, content)
    _check_releases(app, release=found.release, previous=found.previous)
    _check_hosts("hosts", found.hosts)
    hosts: dict[str, PastHost] = {}
    for name, each in found.hosts.items():
        _check_label("hosts.release", each.release)
        reason, phase = _text(each.reason), _line(each.phase)
        hosts[name] = replace(each, reason=reason, phase=phase)
    return replace(
        found,
        hosts=hosts,
        outcome=_line(found.outcome),
        reason=_text(found.reason),
        by=_line(found.by),
        signed_by=_line(found.signed_by),
    )


def encode_draining(hosts: dict[str, str]) -> bytes:
    """Return the hosts that drain as a record."""
    return encode("drains", {"hosts": hosts})


def decode_draining(content: bytes) -> dict[str, str]:
    """Return the hosts that drain, each with the time of its own clock.

    Raises ValueError.
    """
    found = _decoded("drains", "record of draining hosts", DrainingHosts, content)
    _check_hosts("hosts", found.hosts)
    return found.hosts


def known(kind: type[Any], value: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that this version knows.

    A newer version may have added fields; one that must not be ignored raises FORMAT.
    """
    names = {each.name for each in dataclasses.fields(kind)}
    return {name: each for name, each in value.items() if name in names}


def _decoded(kind: str, what: str, wanted: type[Kind], content: bytes) -> Kind:
    value = decode(kind, content)
    try:
        return decoding.convert(wanted, value)
    except ValueError as error:
        raise ValueError(f"it is no {what}: {error}") from None


def _check_releases(app: str, *, release: str, previous: str) -> None:
    """Check the names of releases: they become paths.  Raises ValueError."""
    for field, name in (("release", release), ("previous", previous)):
        if name or field == "release":
            try:
                ReleaseName.of(app, name)
            except ValueError as error:
                raise ValueError(f"{field}: {error}") from None


def _check_hosts(field: str, names: Iterable[str]) -> None:
    for name in names:
        if not is_host_name(name):
            raise ValueError(f"{field}: {_shown(name)} cannot name a host")


def _check_label(field: str, name: str) -> None:
    """Check what runs on a host: it may be no release, and becomes no path."""
    if name and not is_host_name(name.lstrip("?") or "none"):
        raise ValueError(f"{field}: {_shown(name)} is no name")


def _text(text: str) -> str:
    return printable(text, kept=_LINES)[:MOST_TEXT]


def _line(text: str) -> str:
    return printable(text)[:256]


def _shown(value: object) -> str:
    shown = ascii(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def _checksum(plain: dict[str, Any]) -> str:
    text = json.dumps(plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
