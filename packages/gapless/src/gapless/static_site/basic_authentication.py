"""Ask for a name and a password before an ASGI app is reached: RFC 7617."""

from __future__ import annotations

import base64
import binascii
import secrets

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class BasicAuthentication:
    """An ASGI app in front of another."""

    def __init__(self, app: ASGIApp, credentials: tuple[str, str]) -> None:
        self._app = app
        self._expected = ":".join(credentials).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, or pass the request on."""
        if self._is_allowed(HTTPConnection(scope).headers.get("authorization", "")):
            await self._app(scope, receive, send)
            return
        refusal = PlainTextResponse(
            "401 Unauthorized",
            status_code=401,
            headers={"WWW-Authenticate": 'Basic realm="Authentication"'},
        )
        await refusal(scope, receive, send)

    def _is_allowed(self, header: str) -> bool:
        scheme, _, encoded = header.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            said = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        # Over the whole of both, in a time that says nothing of either.
        return secrets.compare_digest(said, self._expected)
