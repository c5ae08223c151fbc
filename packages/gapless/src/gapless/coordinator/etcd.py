"""A coordinator in etcd (3.4 or newer), by its JSON gateway.

The gateway needs nothing but HTTP: etcd's clients for Python are not maintained any more,
or bring gRPC with them (docs/decisions/0010).  Source:
https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/.

The version of a key is its mod_revision, which etcd never uses twice.  A write whose answer
is lost may have been done: it is told as such, and never sent again; who reads next sees.
"""

from __future__ import annotations

import base64
import http.client
import json
import select
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gapless.base import clock
from gapless.base.errors import UnavailableError
from gapless.coordinator import model
from gapless.coordinator.model import ABSENT, Entry

POLL_S = 2.0
"""How often is looked where a watch breaks."""
_UNAUTHENTICATED = 401


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where etcd is, and who asks."""

    endpoints: tuple[str, ...]
    """URLs like http://10.0.0.1:2379; the next one is asked when one does not answer."""
    prefix: str = "gapless"
    """Below it all keys are."""
    user: str = ""
    password: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    timeout_s: float = 5.0


class EtcdCoordinator:
    """Shared by hosts; see `model.Coordinator`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._first = 0
        """The endpoint that answered last."""
        self._token = ""
        self._tls: ssl.SSLContext | None = None
        if any(url.startswith("https:") for url in settings.endpoints):
            self._tls = ssl.create_default_context(cafile=settings.ca_file or None)
            if settings.certificate_file:
                self._tls.load_cert_chain(settings.certificate_file, settings.key_file)

    def read(self, key: str) -> Entry | None:
        """Return what is there, None if nothing is."""
        said = self._ask("kv/range", {"key": self._key(model.check_key(key))})
        return next(iter(_entries(said).values()), None)

    def read_all(self, prefix: str) -> dict[str, Entry]:
        """Return every key below `prefix/`."""
        found, _ = self._range(prefix)
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
        """Return every key below `prefix/` once the versions are not as *seen*."""
        deadline = clock.monotonic() + timeout_s
        while True:
            found, revision = self._range(prefix)
            left_s = deadline - clock.monotonic()
            if model.versions(found) != seen or left_s <= 0:
                return found
            if self._was_quiet(prefix, revision + 1, left_s):
                return found

    def close(self) -> None:
        """Nothing is held open."""

    # --- what etcd is asked -----------------------------------------------------------

    def _key(self, key: str) -> str:
        return _encode(f"{self._settings.prefix}/{key}".encode())

    def _below(self, prefix: str) -> dict[str, str]:
        """Return the first and the last bound of a range."""
        start = f"{self._settings.prefix}/{model.check_key(prefix)}"
        # "0" follows "/": all that begins with the prefix and a slash.
        return {
            "key": _encode(f"{start}/".encode()),
            "range_end": _encode(f"{start}0".encode()),
        }

    def _range(self, prefix: str) -> tuple[dict[str, Entry], int]:
        said = self._ask("kv/range", self._below(prefix))
        start = len(self._settings.prefix) + 1
        found = {key[start:]: entry for key, entry in _entries(said).items()}
        return dict(sorted(found.items())), int(said["header"]["revision"])

    def _compare_and(self, key: str, expected: int, then: dict[str, Any]) -> int:
        """Do one thing if the version is the expected one; return the new one."""
        name = self._key(key)
        compare = {"key": name, "target": "MOD", "modRevision": str(expected)}
        said = self._ask(
            "kv/txn",
            {
                "compare": [compare | {"result": "EQUAL"}],
                "success": [then],
                "failure": [{"requestRange": {"key": name}}],
            },
            is_write=True,
        )
        if not said.get("succeeded"):
            found = _entries(said["responses"][0].get("response_range", {}))
            version = next((entry.version for entry in found.values()), ABSENT)
            raise model.conflict(key, expected, version)
        return int(said["header"]["revision"])

    def _was_quiet(self, prefix: str, revision: int, timeout_s: float) -> bool:
        """Watch until something changes below a prefix, or the time is up; tell which.

        Where the watch breaks it is not known, and time passes before the next look.
        """
        wanted = self._below(prefix) | {"start_revision": str(revision)}
        deadline = clock.monotonic() + timeout_s
        try:
            connection = self._connect(self._settings.endpoints[self._first])
            with closing(connection):
                self._send(connection, "watch", {"create_request": wanted})
                line_to_it = connection.sock
                assert line_to_it is not None
                line_to_it.settimeout(max(0.1, timeout_s))
                answer = connection.getresponse()
                while line := answer.readline():
                    said = json.loads(line).get("result", {})
                    if "events" in said:
                        return False
                    if said.get("canceled"):
                        break
                    line_to_it.settimeout(max(0.1, deadline - clock.monotonic()))
        except TimeoutError:
            return True
        except (OSError, http.client.HTTPException, ValueError):
            self._first = (self._first + 1) % len(self._settings.endpoints)
        left_s = deadline - clock.monotonic()
        select.select([], [], [], max(0.0, min(POLL_S, left_s)))
        return False

    # --- HTTP ---------------------------------------------------------------------------

    def _ask(
        self, path: str, message: dict[str, Any], *, is_write: bool = False
    ) -> dict[str, Any]:
        """Ask one endpoint after the other.  Raises UnavailableError."""
        said: list[str] = []
        for number in self._in_turn():
            url = self._settings.endpoints[number]
            try:
                answer = self._converse(url, path, message)
            except UnavailableError:
                raise  # it answered, and the others would say the same
            except ConnectionRefusedError:
                said.append(f"{url}: connection refused")
            except (OSError, http.client.HTTPException, ValueError) as error:
                said.append(f"{url}: {error or type(error).__name__}")
                if is_write:
                    raise UnavailableError(
                        f"etcd did not answer a write: {said[-1]}",
                        hint="it may have been done; the next look shows it",
                    ) from error
            else:
                self._first = number
                return answer
        raise UnavailableError(f"etcd does not answer: {'; '.join(said)}")

    def _in_turn(self) -> Iterator[int]:
        count = len(self._settings.endpoints)
        return ((self._first + offset) % count for offset in range(count))

    def _converse(self, url: str, path: str, message: dict[str, Any]) -> dict[str, Any]:
        if self._settings.user and not self._token:
            self._authenticate(url)
        status, answer = self._exchange(url, path, message)
        if status == _UNAUTHENTICATED and self._settings.user:
            self._authenticate(url)  # tokens expire
            status, answer = self._exchange(url, path, message)
        if status in (400, _UNAUTHENTICATED, 403):
            reason = answer.get("message") or answer.get("error") or status
            raise UnavailableError(
                f"etcd refuses: {reason}", hint="may this user read and write there?"
            )
        if status != http.client.OK:
            raise http.client.HTTPException(f"{status} {answer.get('message', '')}")
        return answer

    def _authenticate(self, url: str) -> None:
        who = {"name": self._settings.user, "password": self._settings.password}
        self._token = ""
        status, answer = self._exchange(url, "auth/authenticate", who)
        if status != http.client.OK:
            reason = answer.get("message") or answer.get("error") or status
            raise UnavailableError(
                f"etcd does not know {self._settings.user}: {reason}",
                hint="see user and password_file in [coordinator]",
            )
        self._token = str(answer["token"])

    def _exchange(
        self, url: str, path: str, message: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        connection = self._connect(url)
        with closing(connection):
            self._send(connection, path, message)
            answer = connection.getresponse()
            plain = json.loads(answer.read())
            return answer.status, plain if isinstance(plain, dict) else {}

    def _connect(self, url: str) -> http.client.HTTPConnection:
        where, timeout_s = urlsplit(url), self._settings.timeout_s
        if where.scheme == "https":
            return http.client.HTTPSConnection(
                where.netloc, timeout=timeout_s, context=self._tls
            )
        return http.client.HTTPConnection(where.netloc, timeout=timeout_s)

    def _send(
        self, connection: http.client.HTTPConnection, path: str, message: dict[str, Any]
    ) -> None:
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = self._token
        connection.request("POST", f"/v3/{path}", json.dumps(message), headers)


def _entries(said: dict[str, Any]) -> dict[str, Entry]:
    """Return what an answer holds, by whole keys."""
    return {
        base64.b64decode(each["key"]).decode(): Entry(
            int(each["mod_revision"]), base64.b64decode(each.get("value", ""))
        )
        for each in said.get("kvs", ())
    }


def _encode(text: bytes) -> str:
    return base64.b64encode(text).decode()
