"""Requests to etcd (3.4 or newer) by its JSON gateway: endpoints, logins, one watch.

The gateway needs nothing but HTTP: etcd's clients for Python are no longer maintained, or
need gRPC (docs/decisions/0010).  Source:
https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/.

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
from typing import Any
from urllib.parse import urlsplit

from gapless.base import clock
from gapless.base.errors import UnavailableError
from gapless.coordinator.etcd_settings import EtcdSettings

BROKEN_WATCH_PAUSE_S = 2.0
"""How long to wait after a watch broke, before the range is read again."""
_UNAUTHENTICATED = 401


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
        self, path: str, message: dict[str, Any], *, is_write: bool = False
    ) -> dict[str, Any]:
        """Return the answer of the first endpoint that gives one.

        Raises UnavailableError.
        """
        failures: list[str] = []
        for index in self._order():
            url = self._settings.endpoints[index]
            try:
                answer = self._ask_one(url, path, message)
            except UnavailableError:
                raise  # it answered, and the others would answer the same
            except ConnectionRefusedError:
                failures.append(f"{url}: connection refused")
            except (OSError, http.client.HTTPException, ValueError) as error:
                failures.append(f"{url}: {error or type(error).__name__}")
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
                sock = connection.sock
                assert sock is not None
                sock.settimeout(max(0.1, timeout_s))
                answer = connection.getresponse()
                while line := answer.readline():
                    result = json.loads(line).get("result", {})
                    if "events" in result:
                        return False
                    if result.get("canceled"):
                        break
                    sock.settimeout(max(0.1, deadline - clock.monotonic()))
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

    def _ask_one(self, url: str, path: str, message: dict[str, Any]) -> dict[str, Any]:
        if self._settings.user and not self._token:
            self._authenticate(url)
        status, answer = self._post(url, path, message)
        if status == _UNAUTHENTICATED and self._settings.user:
            self._authenticate(url)  # tokens expire
            status, answer = self._post(url, path, message)
        if status in (400, _UNAUTHENTICATED, 403):
            reason = answer.get("message") or answer.get("error") or status
            raise UnavailableError(
                f"etcd refuses: {reason}", hint="may this user read and write there?"
            )
        if status != http.client.OK:
            raise http.client.HTTPException(f"{status} {answer.get('message', '')}")
        return answer

    def _authenticate(self, url: str) -> None:
        """Get a token for the user of the settings.  Raises UnavailableError."""
        login = {"name": self._settings.user, "password": self._settings.password}
        self._token = ""
        status, answer = self._post(url, "auth/authenticate", login)
        if status != http.client.OK:
            reason = answer.get("message") or answer.get("error") or status
            raise UnavailableError(
                f"etcd does not know {self._settings.user}: {reason}",
                hint="see user and password_file in [coordinator]",
            )
        self._token = str(answer["token"])

    def _post(
        self, url: str, path: str, message: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        """Return the HTTP status and the JSON object of the answer."""
        connection = self._connect(url)
        with closing(connection):
            self._send(connection, path, message)
            answer = connection.getresponse()
            plain = json.loads(answer.read())
            return answer.status, plain if isinstance(plain, dict) else {}

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
