"""What stands before the page: each request is refused unless all of it is right.

Host, then cookie, then origin.  Every answer gets the headers by which a browser runs no
script but those of the page, and shows it in no frame.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gapless.web import access

OPEN = ("/enter", "/health", "/page/style.css", "/page/icon.svg")
"""Paths that need no cookie: they tell nothing of the host."""
MOST_COOKIES = 16 << 10
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Gate:
    """Lets requests of those who know the token through."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str,
        port: int,
        names: Collection[str],
        is_secure: bool,
        wall: Callable[[], float],
    ) -> None:
        """Use *names* as further names of this host; *wall* tells the time."""
        self._app, self._token, self._names = app, token, names
        self._cookie_name = f"gapless_web_{port}"
        self._is_secure, self._wall = is_secure, wall

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        refused = self._refusal(scope)
        await (refused or self._app)(scope, receive, send_safely)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer in the place of the page's; None: the request is right."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not access.is_own_host(hosts[0], self._names):
            return PlainTextResponse(
                "this page has another name; `gapless web --host NAME` allows one more\n",
                421,
            )
        if scope["method"] not in ("GET", "HEAD"):
            origins = headers.getlist("origin")
            if len(origins) != 1 or not access.is_own_origin(origins[0], hosts[0]):
                return PlainTextResponse("this request is of another page\n", 403)
        path = scope["path"]
        if path in OPEN:
            return None
        said = QueryParams(scope["query_string"]).getlist("token")
        if path == "/" and said:  # answered here: what is behind has seen a cookie
            return self.admitted(said[0])
        if self._has_cookie(headers):
            return None
        if path == "/" and scope["method"] == "GET":
            return RedirectResponse("/enter", 303)
        return PlainTextResponse("open the link of `gapless web --link` again\n", 401)

    def _has_cookie(self, headers: Headers) -> bool:
        now = self._wall()
        # Apps on other ports of this host put cookies there too, of any form.
        for each in "; ".join(headers.getlist("cookie"))[:MOST_COOKIES].split(";"):
            name, _, value = each.strip().partition("=")
            if name == self._cookie_name and access.is_valid_cookie(
                value, self._token, now
            ):
                return True
        return False

    def admitted(self, said: str) -> Response:
        """Return the answer to somebody who says a token: a cookie, or a refusal."""
        if not access.is_same(said, self._token):
            return PlainTextResponse("this is not the token\n", 403)
        return self.with_cookie(RedirectResponse("/", 303))

    def with_cookie(self, response: Response) -> Response:
        """Return an answer that gives a browser its cookie anew.

        Rule: only to one that has shown the token, or a cookie that is valid.
        """
        response.set_cookie(
            self._cookie_name,
            access.cookie(self._token, self._wall()),
            max_age=access.COOKIE_S,
            httponly=True,
            samesite="strict",
            secure=self._is_secure,
        )
        return response
