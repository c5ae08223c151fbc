"""The WSGI middleware (PEP 3333): a request ends when its answer is closed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from gapless_drain.activity import current
from gapless_drain.core import UNHEALTHY
from gapless_drain.process import ProcessDrain
from gapless_drain.settings import BODY, Settings, status_line
from gapless_drain.web.wsgi_answer import Answer, Environ

StartResponse = Callable[..., Any]
PIECE_BYTES = 65536


class WsgiMiddleware:
    """Counts the requests of an app, and refuses them in a recycle drain."""

    def __init__(self, app: Any, drain: ProcessDrain) -> None:
        self._app, self._drain, self._core = app, drain, drain.core
        drain.count_requests()

    def __call__(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Serve one request."""
        drain, core = self._drain, self._core
        if not drain.signals_installed:
            drain.install_signals()
        if not core.serves and self._is_unhealthy(environ):
            status = drain.settings.health_status
            return self._answer(environ, start_response, status)
        activity = core.admit(environ, time.monotonic())
        answer: Any = Answer(core, activity)
        if not activity.admitted:
            try:
                _discard(environ, drain.settings)
                status = drain.settings.status
                answer.inner = self._answer(environ, start_response, status)
            except BaseException:  # the client went away while its body was read
                answer.close()
                raise
            refusal: Iterable[bytes] = answer
            return refusal
        current.set(activity)

        def start(status: str, headers: Any, exc_info: Any = None) -> Any:
            if core.drains:
                headers = [*headers, *_close_connection(environ, start_response)]
            answer.headers = headers
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

    def _is_unhealthy(self, environ: Environ) -> bool:
        """Return whether this is a request for the health path that is answered with no."""
        path = self._drain.settings.health_path
        says_no = self._core.mode in UNHEALTHY
        return says_no and path is not None and environ.get("PATH_INFO") == path

    def _answer(
        self, environ: Environ, start_response: StartResponse, status: int
    ) -> list[bytes]:
        headers = self._drain.settings.headers(self._core.mode.value)
        headers += _close_connection(environ, start_response)
        start_response(status_line(status), headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [BODY]


def _discard(environ: Environ, settings: Settings) -> None:
    """Read the body of a request and throw it away, up to the limits."""
    source = environ.get("wsgi.input")
    if source is None:
        return
    try:
        left_bytes = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        left_bytes = 0
    if environ.get("wsgi.input_terminated"):
        left_bytes = max(left_bytes, settings.discard_bytes)
    left_bytes = min(left_bytes, settings.discard_bytes)
    until = time.monotonic() + settings.discard_s
    while left_bytes > 0 and time.monotonic() < until:
        piece = source.read(min(left_bytes, PIECE_BYTES))
        if not piece:
            return
        left_bytes -= len(piece)


def _close_connection(
    environ: Environ, start_response: StartResponse
) -> list[tuple[str, str]]:
    """Make the server close the connection after this answer; return headers to send.

    PEP 3333 leaves `Connection` to the server, and servers differ: gunicorn ignores the
    header, waitress and wsgiref refuse it, others obey it.
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
