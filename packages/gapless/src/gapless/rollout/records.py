"""The format of records in a coordinator: JSON with a version and a checksum."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from gapless.rollout.model import HostReport, Phase, Rollout, State
from gapless.rollout.policy import Policy

FORMAT = 1


def encode(kind: str, value: dict[str, Any]) -> bytes:
    """Return a record of a kind; *value* holds JSON values."""
    plain = {"format": FORMAT, "kind": kind, "value": value}
    return json.dumps(plain | {"sha256": _checksum(plain)}, sort_keys=True).encode()


def decode(kind: str, content: bytes) -> dict[str, Any]:
    """Return the value of a record.  Raises ValueError with the reason."""
    try:
        plain = json.loads(content)
        checksum = plain.pop("sha256")
        found, value = plain["format"], plain["value"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("it is no record") from None
    if found != FORMAT:
        raise ValueError(f"its format is {found!r}, not {FORMAT}")
    if checksum != _checksum(plain):
        raise ValueError("its checksum is wrong")
    if plain["kind"] != kind or not isinstance(value, dict):
        raise ValueError(f"it is a record of {plain['kind']!r}, not of {kind!r}")
    return value


def encode_rollout(rollout: Rollout) -> bytes:
    """Return a rollout as a record."""
    plain = dataclasses.asdict(rollout) | {"state": rollout.state.value}
    return encode("rollout", plain)


def decode_rollout(content: bytes) -> Rollout:
    """Return the rollout from a record.  Raises ValueError."""
    value = decode("rollout", content)
    try:
        policy: dict[str, Any] = {
            name: tuple(each) if isinstance(each, list) else each
            for name, each in known(Policy, value["policy"]).items()
        }
        rest = {"state": State(value["state"]), "policy": Policy(**policy)}
        return Rollout(**{**known(Rollout, value), **rest})
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"it is no rollout: {error}") from None


def encode_host(report: HostReport) -> bytes:
    """Return the report of a host as a record."""
    return encode("host", dataclasses.asdict(report) | {"phase": report.phase.value})


def decode_host(content: bytes) -> HostReport:
    """Return the report of a host from a record.  Raises ValueError."""
    value = decode("host", content)
    try:
        number, attempt = value["turn"]
        rest: dict[str, Any] = {
            "phase": Phase(value["phase"]),
            "turn": (int(number), int(attempt)),
            "addresses": tuple(str(each) for each in value.get("addresses", ())),
        }
        return HostReport(**{**known(HostReport, value), **rest})
    except (TypeError, KeyError) as error:
        raise ValueError(f"it is no report of a host: {error}") from None


def known(kind: type[Any], value: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that this version knows.

    A newer version may have added fields; one that must not be ignored raises FORMAT.
    """
    names = {each.name for each in dataclasses.fields(kind)}
    return {name: each for name, each in value.items() if name in names}


def _checksum(plain: dict[str, Any]) -> str:
    text = json.dumps(plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
