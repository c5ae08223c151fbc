"""The WSGI middleware (PEP 3333): a request ends when its answer is closed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gapless_drain.core import DRAINING, Mode, Ticket, current
from gapless_drain.process import ProcessDrain
from gapless_drain.settings import BODY, Settings, reason

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
PIECE_BYTES = 65536


class WsgiMiddleware:
    """Counts what an app is asked, and refuses when it is to end."""

    def __init__(self, app: Any, drain: ProcessDrain) -> None:
        self._app, self._drain, self._core = app, drain, drain.core

    def __call__(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Serve one request."""
        drain, core = self._drain, self._core
        if not drain.armed:
            drain.arm()
        if core.mode is not Mode.SERVING and self._is_health(environ):
            status = drain.settings.health_status
            return self._answer(environ, start_response, status)
        ticket = core.admit(environ, time.monotonic())
        answer: Any = Answer(core, ticket)
        if not ticket.admitted:
            try:
                discard(environ, drain.settings)
                status = drain.settings.status
                answer.inner = self._answer(environ, start_response, status)
            except BaseException:  # the client went away while it was read
                answer.close()
                raise
            refusal: Iterable[bytes] = answer
            return refusal
        current.set(ticket)

        def start(status: str, headers: Any, exc_info: Any = None) -> Any:
            if core.mode in DRAINING:
                headers = [*headers, *close_connection(environ, start_response)]
            answer.streams = is_event_stream(headers)
            if exc_info is None:
                return start_response(status, headers)
            return start_response(status, headers, exc_info)

        try:
            inner = self._app(environ, start)
        except BaseException:
            answer.close()
            raise
        whole: Iterable[bytes] = answer.of(inner, environ)
        return whole

    def _is_health(self, environ: Environ) -> bool:
        leaves = self._core.mode in (Mode.LEAVING, Mode.RECYCLE)
        path = self._drain.settings.health_path
        return leaves and path is not None and environ.get("PATH_INFO") == path

    def _answer(
        self, environ: Environ, start_response: StartResponse, status: int
    ) -> list[bytes]:
        headers = self._drain.settings.headers(self._core.mode.value)
        headers += close_connection(environ, start_response)
        start_response(reason(status), headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [BODY]


class Answer:
    """What an app returned, until the server has sent it and closes it."""

    __slots__ = ("_core", "_pieces", "_ticket", "inner", "streams")

    def __init__(self, core: Any, ticket: Ticket) -> None:
        self._core, self._ticket = core, ticket
        self.inner: Any = ()
        self._pieces: Iterator[bytes] | None = None
        self.streams = False

    def of(self, inner: Any, environ: Environ) -> Any:
        """Return the answer in a form that keeps what servers look for."""
        wrapper: Any = environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type) and isinstance(inner, wrapper):
            self.inner = ()
            file: Any = inner
            closes = getattr(file, "close", None)
            try:
                file.close = lambda: self._close_after(closes)
            except AttributeError:
                pass
            else:
                return file  # so that the server can still use sendfile(2)
        self.inner = inner
        if hasattr(inner, "__len__"):
            self.__class__ = SizedAnswer
        return self

    def _close_after(self, closes: Callable[[], None] | None) -> None:
        try:
            if closes is not None:
                closes()
        finally:
            self.close()

    def __iter__(self) -> Iterator[bytes]:
        # What is there already needs no look between its pieces.
        return iter(self.inner) if type(self.inner) is list else self

    def __next__(self) -> bytes:
        if self._pieces is None:
            self._pieces = iter(self.inner)
        if self.streams and self._core.mode in DRAINING:
            raise StopIteration
        return next(self._pieces)

    def close(self) -> None:
        """Finish, once; the server calls it whatever has happened."""
        try:
            closes = getattr(self.inner, "close", None)
            self.inner = ()
            if closes is not None:
                closes()
        finally:
            if self._ticket.open:
                self._core.finish(self._ticket, time.monotonic())

    def __del__(self) -> None:
        # For servers that forget to close.
        if self._ticket.open:
            self._core.finish(self._ticket, time.monotonic())


class SizedAnswer(Answer):
    """One of known length: servers send Content-Length if it is 1."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self.inner)


def discard(environ: Environ, settings: Settings) -> None:
    """Read and forget the body of a request, up to the limits."""
    source = environ.get("wsgi.input")
    if source is None:
        return
    try:
        left = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        left = 0
    if environ.get("wsgi.input_terminated"):
        left = max(left, settings.discard_bytes)
    left = min(left, settings.discard_bytes)
    until = time.monotonic() + settings.discard_s
    while left > 0 and time.monotonic() < until:
        piece = source.read(min(left, PIECE_BYTES))
        if not piece:
            return
        left -= len(piece)


def close_connection(
    environ: Environ, start_response: StartResponse
) -> list[tuple[str, str]]:
    """Let the server close the connection after this answer; return headers to send.

    PEP 3333 leaves `Connection` to the server, and each is told in its own way: gunicorn
    ignores the header, waitress and wsgiref refuse it, others obey it.
    """
    software = str(environ.get("SERVER_SOFTWARE", "")).lower()
    if software.startswith("gunicorn"):
        response: Any = getattr(start_response, "__self__", None)
        if hasattr(response, "force_close"):
            response.force_close()
        return []
    if software.startswith("waitress"):
        for cell in getattr(start_response, "__closure__", None) or ():
            request: Any = getattr(cell.cell_contents, "request", None)
            if hasattr(request, "headers"):
                request.headers["CONNECTION"] = "close"
        return []
    if software.startswith("wsgiserver"):
        return []  # it speaks HTTP/1.0
    return [("Connection", "close")]


def is_event_stream(headers: Any) -> bool:
    """Tell whether an answer is a stream of server-sent events."""
    for name, value in headers:
        if len(name) == 12 and name.lower() == "content-type":
            return str(value).startswith("text/event-stream")
    return False
