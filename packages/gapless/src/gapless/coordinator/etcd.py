"""A coordinator in etcd: keys below a prefix, compare-and-set by transactions.

The version of a key is its mod_revision, which etcd never uses twice.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from gapless.base import clock
from gapless.coordinator import model
from gapless.coordinator.etcd_gateway import EtcdGateway
from gapless.coordinator.etcd_settings import EtcdSettings
from gapless.coordinator.model import ABSENT, Entry


class EtcdCoordinator:
    """Hosts share it; see `model.Coordinator`."""

    def __init__(self, settings: EtcdSettings) -> None:
        self._prefix, self._gateway = settings.prefix, EtcdGateway(settings)

    def read(self, key: str) -> Entry | None:
        """Return the entry of a key; None if the key does not exist."""
        answer = self._gateway.ask("kv/range", {"key": self._key(model.check_key(key))})
        return next(iter(_entries(answer).values()), None)

    def read_all(self, prefix: str) -> dict[str, Entry]:
        """Return every key below `prefix/`."""
        found, _ = self._read_range(prefix)
        return found

    def write(self, key: str, value: bytes, *, expected: int) -> Entry:
        """Write if the version is still the expected one.  Raises ConflictError."""
        model.check_value(model.check_key(key), value)
        put = {"requestPut": {"key": self._key(key), "value": _encode(value)}}
        return Entry(self._compare_and(key, expected, put), value)

    def remove(self, key: str, *, expected: int) -> None:
        """Remove if the version is still the expected one.  Raises ConflictError."""
        delete = {"requestDeleteRange": {"key": self._key(model.check_key(key))}}
        self._compare_and(key, expected, delete)

    def wait(
        self, prefix: str, seen: Mapping[str, int], timeout_s: float
    ) -> dict[str, Entry]:
        """Return every key below `prefix/` once the versions differ from *seen*."""
        deadline = clock.monotonic() + timeout_s
        while True:
            found, revision = self._read_range(prefix)
            left_s = deadline - clock.monotonic()
            if model.versions(found) != seen or left_s <= 0:
                return found
            watch = self._range(prefix) | {"start_revision": str(revision + 1)}
            if self._gateway.is_unchanged(watch, left_s):
                return found

    def close(self) -> None:
        """Do nothing: no connection is held open."""

    def _key(self, key: str) -> str:
        return _encode(f"{self._prefix}/{key}".encode())

    def _range(self, prefix: str) -> dict[str, str]:
        """Return the bounds of all keys below `prefix/`."""
        start = f"{self._prefix}/{model.check_key(prefix)}"
        # "0" follows "/": the range holds every key that begins with the prefix and "/".
        return {
            "key": _encode(f"{start}/".encode()),
            "range_end": _encode(f"{start}0".encode()),
        }

    def _read_range(self, prefix: str) -> tuple[dict[str, Entry], int]:
        """Return every key below `prefix/`, and the revision at which they were read."""
        answer = self._gateway.ask("kv/range", self._range(prefix))
        start = len(self._prefix) + 1
        found = {key[start:]: entry for key, entry in _entries(answer).items()}
        return dict(sorted(found.items())), int(answer["header"]["revision"])

    def _compare_and(self, key: str, expected: int, then: dict[str, Any]) -> int:
        """Do *then* if the version is the expected one; return the new version.

        Raises ConflictError.
        """
        name = self._key(key)
        compare = {"key": name, "target": "MOD", "modRevision": str(expected)}
        answer = self._gateway.ask(
            "kv/txn",
            {
                "compare": [compare | {"result": "EQUAL"}],
                "success": [then],
                "failure": [{"requestRange": {"key": name}}],
            },
            is_write=True,
        )
        if not answer.get("succeeded"):
            found = _entries(answer["responses"][0].get("response_range", {}))
            version = next((entry.version for entry in found.values()), ABSENT)
            raise model.conflict(key, expected, version)
        return int(answer["header"]["revision"])


def _entries(answer: dict[str, Any]) -> dict[str, Entry]:
    """Return the entries of an answer, by their keys with the prefix."""
    return {
        base64.b64decode(each["key"]).decode(): Entry(
            int(each["mod_revision"]), base64.b64decode(each.get("value", ""))
        )
        for each in answer.get("kvs", ())
    }


def _encode(text: bytes) -> str:
    return base64.b64encode(text).decode()
