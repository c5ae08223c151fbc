"""Requests to etcd (3.4 or newer) by its JSON gateway: endpoints, logins, one watch.

The gateway needs nothing but HTTP: etcd's clients for Python are no longer maintained, or
need gRPC (docs/decisions/0010).  Source:
https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/.

Answers are read within a time and a size (`bounded_answer`), and have the types of
`decoding`; a redirection is not followed.

A write whose answer is lost may have been done.  It is reported as such and never sent
again; the next read shows what became of it.
"""

from __future__ import annotations

import http.client
import json
import select
import ssl
from collections.abc import Iterator
from contextlib import closing
from typing import Any, TypeVar
from urllib.parse import urlsplit

from gapless.base import clock
from gapless.base.errors import UnavailableError
from gapless.base.outside.text import printable
from gapless.coordinator import bounded_answer, decoding
from gapless.coordinator.bounded_answer import Deadline
from gapless.coordinator.decoding import EtcdRefusal, EtcdToken, EtcdWatchLine
from gapless.coordinator.etcd_settings import EtcdSettings

Answer = TypeVar("Answer")

BROKEN_WATCH_PAUSE_S = 2.0
"""How long to wait after a watch broke, before the range is read again."""
MOST_LINE_BYTES = 8 << 20
"""Of a watch: an event has a whole value; that there is one is all that counts."""
_UNAUTHENTICATED = 401
_MOST_REASON = 300
"""Characters of what another program says, in a line of ours."""


class EtcdGateway:
    """Sends requests to the endpoint that answered last, then to the others."""

    def __init__(self, settings: EtcdSettings) -> None:
        self._settings = settings
        self._first = 0
        """The index of the endpoint that answered last."""
        self._token = ""
        self._tls: ssl.SSLContext | None = None
        if any(url.startswith("https:") for url in settings.endpoints):
            self._tls = ssl.create_default_context(cafile=settings.ca_file or None)
            if settings.certificate_file:
                self._tls.load_cert_chain(settings.certificate_file, settings.key_file)

    def ask(
        self,
        path: str,
        message: dict[str, Any],
        kind: type[Answer],
        *,
        is_write: bool = False,
    ) -> Answer:
        """Return the answer, of a class of `decoding`, of the first endpoint that gives it.

        Raises UnavailableError.
        """
        failures: list[str] = []
        for index in self._order():
            url = self._settings.endpoints[index]
            try:
                answer = self._ask_one(url, path, message, kind)
            except UnavailableError:
                raise  # it answered, and the others would answer the same
            except ConnectionRefusedError:
                failures.append(f"{url}: connection refused")
            except (OSError, http.client.HTTPException, ValueError) as error:
                failures.append(f"{url}: {_shown(error)}")
                if is_write:
                    raise UnavailableError(
                        f"etcd did not answer a write: {failures[-1]}",
                        hint="it may have been done; the next read shows it",
                    ) from error
            else:
                self._first = index
                return answer
        raise UnavailableError(f"etcd does not answer: {'; '.join(failures)}")

    def is_unchanged(self, watch: dict[str, str], timeout_s: float) -> bool:
        """Return whether *timeout_s* passed and a range of keys did not change.

        *watch* is the `create_request`.  A watch that breaks counts as a change, after a
        pause: what it would have shown is not known.
        """
        deadline = clock.monotonic() + timeout_s
        try:
            connection = self._connect(self._settings.endpoints[self._first])
            with closing(connection):
                self._send(connection, "watch", {"create_request": watch})
                bounded_answer.limit(connection, Deadline(max(0.1, timeout_s)))
                answer = connection.getresponse()
                while line := answer.readline(MOST_LINE_BYTES):
                    if len(line) == MOST_LINE_BYTES:
                        return False
                    found = decoding.decode(EtcdWatchLine, line, MOST_LINE_BYTES).result
                    if found.events:
                        return False
                    if found.canceled:
                        break
        except TimeoutError:
            return True
        except (OSError, http.client.HTTPException, ValueError):
            self._first = (self._first + 1) % len(self._settings.endpoints)
        left_s = deadline - clock.monotonic()
        select.select([], [], [], max(0.0, min(BROKEN_WATCH_PAUSE_S, left_s)))
        return False

    def _order(self) -> Iterator[int]:
        """Yield the indexes of the endpoints, beginning with the one that answered last."""
        count = len(self._settings.endpoints)
        return ((self._first + offset) % count for offset in range(count))

    def _ask_one(
        self, url: str, path: str, message: dict[str, Any], kind: type[Answer]
    ) -> Answer:
        if self._settings.user and not self._token:
            self._authenticate(url)
        status, answer = self._post(url, path, message)
        if status == _UNAUTHENTICATED and self._settings.user:
            self._authenticate(url)  # tokens expire
            status, answer = self._post(url, path, message)
        if status in (400, _UNAUTHENTICATED, 403):
            raise UnavailableError(
                f"etcd refuses: {_reason(status, answer)}",
                hint="may this user read and write there?",
            )
        if status != http.client.OK:
            raise http.client.HTTPException(_reason(status, answer))
        return decoding.decode(kind, answer, bounded_answer.MOST_BYTES)

    def _authenticate(self, url: str) -> None:
        """Get a token for the user of the settings.  Raises UnavailableError."""
        login = {"name": self._settings.user, "password": self._settings.password}
        self._token = ""
        status, answer = self._post(url, "auth/authenticate", login)
        if status != http.client.OK:
            raise UnavailableError(
                f"etcd does not know {self._settings.user}: {_reason(status, answer)}",
                hint="see user and password_file in [coordinator]",
            )
        self._token = decoding.decode(
            EtcdToken, answer, bounded_answer.MOST_BYTES
        ).token

    def _post(self, url: str, path: str, message: dict[str, Any]) -> tuple[int, bytes]:
        """Return the HTTP status and the body of the answer."""
        connection = self._connect(url)
        with closing(connection):
            self._send(connection, path, message)
            bounded_answer.limit(connection, Deadline(self._settings.timeout_s))
            answer = connection.getresponse()
            return answer.status, bounded_answer.body(answer)

    def _connect(self, url: str) -> http.client.HTTPConnection:
        parts, timeout_s = urlsplit(url), self._settings.timeout_s
        if parts.scheme == "https":
            return http.client.HTTPSConnection(
                parts.netloc, timeout=timeout_s, context=self._tls
            )
        return http.client.HTTPConnection(parts.netloc, timeout=timeout_s)

    def _send(
        self, connection: http.client.HTTPConnection, path: str, message: dict[str, Any]
    ) -> None:
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = self._token
        connection.request("POST", f"/v3/{path}", json.dumps(message), headers)


def _reason(status: int, answer: bytes) -> str:
    """Return why etcd, or what answers in its place, refuses."""
    try:
        found = decoding.decode(EtcdRefusal, answer, bounded_answer.MOST_BYTES)
    except ValueError:
        return f"{status}"
    said = found.message or found.error
    return _shown(f"{status} {said}") if said else f"{status}"


def _shown(what: object) -> str:
    return printable(str(what) or type(what).__name__)[:_MOST_REASON]
