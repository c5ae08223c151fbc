"""A coordinator in etcd: keys below a prefix, compare-and-set by transactions.

The version of a key is its mod_revision, which etcd never uses twice.  A key that no
coordinator can have, or a value that is too large, was written by another program: it is
reported once and left out.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gapless.base import clock
from gapless.base.codec import MOST_INTEGER
from gapless.base.errors import UnavailableError
from gapless.coordinator import model
from gapless.coordinator.decoding import EtcdEntry, EtcdRange, EtcdTransaction
from gapless.coordinator.etcd_gateway import EtcdGateway
from gapless.coordinator.etcd_settings import EtcdSettings
from gapless.coordinator.model import ABSENT, Entry

MOST_REPORTS = 1000
"""Whoever may write to etcd cannot fill a log, or this process, with keys."""


class EtcdCoordinator:
    """Hosts share it; see `model.Coordinator`."""

    def __init__(
        self, settings: EtcdSettings, complain: Callable[[str], None] = lambda _: None
    ) -> None:
        """*complain* is called once for each key that cannot be trusted."""
        self._prefix, self._gateway = settings.prefix, EtcdGateway(settings)
        self._complain = complain
        self._reported: set[bytes] = set()

    def read(self, key: str) -> Entry | None:
        """Return the entry of a key; None if the key does not exist."""
        request = {"key": self._key(model.check_key(key))}
        answer = self._gateway.ask("kv/range", request, EtcdRange)
        return self._entries(answer.kvs).get(key)

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
        request = self._range(prefix) | {"limit": str(model.MOST_KEYS + 1)}
        answer = self._gateway.ask("kv/range", request, EtcdRange)
        if len(answer.kvs) > model.MOST_KEYS:
            raise UnavailableError(
                f"below {prefix} there are more than {model.MOST_KEYS} keys",
                hint="remove what gapless did not write from the coordinator",
            )
        found = {
            key: entry
            for key, entry in self._entries(answer.kvs).items()
            if key.startswith(f"{prefix}/")
        }
        return dict(sorted(found.items())), int(answer.header.revision)

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
            EtcdTransaction,
            is_write=True,
        )
        if not answer.succeeded:
            kvs = [
                each for found in answer.responses for each in found.response_range.kvs
            ]
            version = int(kvs[0].mod_revision) if kvs else ABSENT
            raise model.conflict(key, expected, version)
        return int(answer.header.revision)

    def _entries(self, found: Iterable[EtcdEntry]) -> dict[str, Entry]:
        """Return what was found by the keys without the prefix, but what is not ours."""
        start, entries = f"{self._prefix}/", {}
        for each in found:
            text = each.key.decode(errors="replace")
            key, version = text.removeprefix(start), int(each.mod_revision)
            if not text.startswith(start) or not model.is_key(key):
                self._report(each.key, "it is no key of ours")
            elif len(each.value) > model.LARGEST_VALUE_BYTES:
                self._report(each.key, "its value is too large")
            elif not 0 < version <= MOST_INTEGER:
                self._report(each.key, "its revision is no version")
            else:
                entries[key] = Entry(version, each.value)
        return entries

    def _report(self, key: bytes, why: str) -> None:
        if key not in self._reported and len(self._reported) < MOST_REPORTS:
            self._reported.add(key)
            self._complain(f"etcd: {ascii(key)[1:][:200]} is ignored: {why}")


def _encode(text: bytes) -> str:
    return base64.b64encode(text).decode()
