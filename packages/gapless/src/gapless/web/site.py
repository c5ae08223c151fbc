"""The page's own requests: its files, the events, reports, rollouts and actions."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

import gapless
from gapless.base import names
from gapless.base.errors import GaplessError
from gapless.base.names import Home
from gapless.web import deeds, report_files
from gapless.web.feed import Feed
from gapless.web.gate import Gate
from gapless.web.rollout_look import RolloutLook
from gapless.web.stream import EventStream

MOST_STREAMS = 64
BODY_S = 10.0
_KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the page is of."""

    name: str
    home: Home
    perform: deeds.Perform | None
    """Does what a browser asks for; None: the page is only looked at."""
    rollouts: Callable[[], list[dict[str, Any]]] | None
    """Reads the rollouts of the fleets that are configured; None: none are."""


class Site:
    """The page of one host."""

    def __init__(self, host: Host, feed: Feed, done: deeds.Deeds) -> None:
        self._host, self._feed, self._deeds = host, feed, done
        self._rollout_look = host.rollouts and RolloutLook(host.rollouts)
        self._files = _files()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.gate: Gate | None = None

    def routes(self) -> Starlette:
        """Return the app that answers; what is to be refused was refused before."""
        return Starlette(
            lifespan=self._lifespan,
            routes=[
                Route("/", self._index),
                Route("/enter", self._enter, methods=["GET", "POST"]),
                Route("/health", _health),
                Route("/page/{name}", self._file),
                Route("/events", self._events),
                Route("/reports", self._reports),
                Route("/report", self._report),
                Route("/rollouts", self._rollouts),
                Route("/actions", self._act, methods=["POST"]),
            ],
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        _ = app
        self._loop = asyncio.get_running_loop()
        task = asyncio.create_task(self._feed.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    # --- the page -----------------------------------------------------------------------

    async def _index(self, request: Request) -> Response:
        _ = request
        assert self.gate is not None
        return self.gate.with_cookie(self._answer("index.html"))

    async def _enter(self, request: Request) -> Response:
        assert self.gate is not None
        if request.method != "POST":
            return self._answer("enter.html")
        body = (await _body(request)).decode("ascii", errors="replace")
        return self.gate.admitted(body.removeprefix("token=").strip())

    async def _file(self, request: Request) -> Response:
        return self._answer(request.path_params["name"])

    def _answer(self, name: str) -> Response:
        if name not in self._files:
            raise HTTPException(404)
        ending = name[name.rindex(".") :]
        return Response(self._files[name], media_type=_KINDS[ending])

    async def _events(self, request: Request) -> Response:
        app = request.query_params.get("app", "")
        if app and not names.is_app_name(app):
            raise HTTPException(404)
        if self._feed.watchers >= MOST_STREAMS:
            text = f"{MOST_STREAMS} pages are open; close one\n"
            return PlainTextResponse(text, 503, {"Retry-After": "10"})
        hello = {
            "host": self._host.name,
            "version": gapless.__version__,
            "actions": list(deeds.APP_ACTIONS) if self._host.perform else [],
            "rollouts": self._host.rollouts is not None,
        }
        return EventStream(self._feed, app, hello)

    # --- reports and rollouts -----------------------------------------------------------

    async def _reports(self, request: Request) -> Response:
        app = request.query_params.get("app", "")
        found = await asyncio.to_thread(report_files.listed, self._host.home, app)
        return JSONResponse({"app": app, "reports": found})

    async def _report(self, request: Request) -> Response:
        app = request.query_params.get("app", "")
        name = request.query_params.get("name", "")
        found = await asyncio.to_thread(report_files.one, self._host.home, app, name)
        if found is None:
            raise HTTPException(404)
        return JSONResponse(found)

    async def _rollouts(self, request: Request) -> Response:
        _ = request
        if self._rollout_look is None:
            raise HTTPException(404)
        return JSONResponse({"fleets": await self._rollout_look.found()})

    # --- actions ------------------------------------------------------------------------

    async def _act(self, request: Request) -> Response:
        perform = self._host.perform
        if perform is None:
            return _refused(
                403, "this page is read-only; `gapless web --actions` lets it"
            )
        if not request.headers.get("content-type", "").startswith("application/json"):
            return _refused(415, "an action is asked for in JSON")
        try:
            deed = deeds.read(await _body(request))
        except GaplessError as error:
            return _refused(400, error.message, error.hint)
        if len(self._deeds.under_way) >= deeds.MOST_AT_ONCE:
            return _refused(503, f"{deeds.MOST_AT_ONCE} actions are under way")
        row = self._deeds.begin(deed)
        # The interpreter waits for a thread that is no daemon: a rollback is done whole.
        work = threading.Thread(target=self._perform, args=(perform, deed, row))
        try:
            work.start()
        except RuntimeError:
            why = "this host has no thread left for it; nothing was done"
            self._deeds.end(row, "failed", why)
            return _refused(503, why)
        self._feed.hurry()
        self._feed.wake_all()
        return JSONResponse({"id": row["id"]}, 202)

    def _perform(
        self, perform: deeds.Perform, deed: deeds.Deed, row: dict[str, Any]
    ) -> None:
        def told(step: dict[str, Any]) -> None:
            text = f"{step.get('step', '')} {step.get('detail', '')}"
            self._call(self._deeds.change, row, "step", text)

        try:
            report = perform(deed, told)
        except GaplessError as error:
            hint = f"; {error.hint}" if error.hint else ""
            self._call(self._deeds.end, row, "failed", f"{error.message}{hint}")
        except OSError as error:
            self._call(self._deeds.end, row, "failed", error.strerror or str(error))
        except BaseException:
            self._call(self._deeds.end, row, "failed", "it was not expected to fail")
            raise
        else:
            text = str(report.get("reason") or "")
            self._call(self._deeds.end, row, str(report["outcome"]), text)

    def _call(self, change: Callable[..., None], *arguments: Any) -> None:
        """Change what browsers see, from a thread: all of that is the loop's."""
        assert self._loop is not None

        def called() -> None:
            change(*arguments)
            if self._rollout_look is not None:
                self._rollout_look.forget()
            self._feed.hurry()
            self._feed.wake_all()

        with contextlib.suppress(RuntimeError):  # the page has ended meanwhile
            self._loop.call_soon_threadsafe(called)


async def _health(request: Request) -> Response:
    _ = request
    return PlainTextResponse("ok\n")


async def _body(request: Request) -> bytes:
    """Return the body of a request.  Raises HTTPException if it is late or too long."""
    found = b""
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.stream():
                found += piece
                if len(found) > deeds.MOST_BYTES:
                    raise HTTPException(413)
    except TimeoutError:
        raise HTTPException(408) from None
    except ClientDisconnect:
        raise HTTPException(400) from None
    return found


def _refused(status: int, message: str, hint: str = "") -> Response:
    return JSONResponse({"error": message, "hint": hint}, status)


def _files() -> dict[str, bytes]:
    """Return the files of the page: all of them are in the package, none is a template."""
    folder = resources.files("gapless.web").joinpath("page")
    return {
        each.name: each.read_bytes()
        for each in folder.iterdir()
        if each.name.endswith(tuple(_KINDS))
    }
