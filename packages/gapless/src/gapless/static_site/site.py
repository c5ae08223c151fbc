"""The ASGI app that answers with the files of one directory.

Starlette does the work: types, HEAD, ranges, index.html, 404.html, and that no path and no
link leads out of the directory.  What is added: no hidden files, one page for all paths.

Its ETag is made of the time and the size of a file, which two releases may share.  Here it
is made of the content, and nothing is said or decided by times: a browser that is told of
1970 asks again in years only.
"""

from __future__ import annotations

import os
import stat

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Receive, Scope, Send

from gapless.static_site.content_tags import ContentTags
from gapless.static_site.settings import DEFAULT_HOMEPAGE, Settings

_PUBLIC = ".well-known"
"""The one hidden name that is served, at the top: RFC 8615."""
_NOTHING: tuple[str, os.stat_result | None] = ("", None)


class Site(StaticFiles):
    """The files of one directory."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(directory=settings.directory, html=True)
        self._settings = settings
        self._tags = ContentTags()

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the answer to one request.  Raises HTTPException."""
        settings = self._settings
        if path == "." and settings.homepage != DEFAULT_HOMEPAGE:
            return await self._answer(settings.homepage, scope)
        if not settings.is_one_page:
            return await self._answer(path, scope)
        # A page below /a/b asks for /a/b/app.js, and means /app.js.
        candidates = (path, os.path.basename(path), settings.homepage)
        for candidate in candidates[:-1]:
            try:
                answer = await self._answer(candidate, scope)
            except HTTPException as error:
                if error.status_code != 404:
                    raise
                continue
            if answer.status_code != 404:
                return answer
        return await self._answer(candidates[-1], scope)

    async def _answer(self, path: str, scope: Scope) -> Response:
        try:
            return await super().get_response(path, scope)
        except HTTPException as error:
            # Starlette's 401 for what may not be read would make browsers ask who it is.
            if error.status_code == 401:
                raise HTTPException(status_code=403) from None
            raise

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Return a file or a directory; nothing for what is hidden."""
        if _is_hidden(path):
            return _NOTHING
        found, status = super().lookup_path(path)
        if status is None or _is_hidden(
            os.path.relpath(found, self._settings.directory)
        ):
            return _NOTHING
        if stat.S_ISREG(status.st_mode) and not os.access(found, os.R_OK):
            raise PermissionError(found)
        if stat.S_ISREG(status.st_mode):
            try:
                self._tags.of(found, status)  # it is read here, in a thread of its own
            except FileNotFoundError:  # it has just been removed
                return _NOTHING
        return found, status

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Return a file, which scripts of other sites may read, as from PM2."""
        answer: Response = _File(
            full_path, status_code=status_code, stat_result=stat_result
        )
        answer.headers["ETag"] = self._tags.of(os.fspath(full_path), stat_result)
        del answer.headers["Last-Modified"]
        known = self.is_not_modified(answer.headers, Headers(scope=scope))
        if known and status_code == 200:
            answer = NotModifiedResponse(answer.headers)
        if self._settings.credentials is None:
            answer.headers["Access-Control-Allow-Origin"] = "*"
        return answer


class _File(FileResponse):
    """A file of which a range is sent only if the ETag in If-Range is its own."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        condition = Headers(scope=scope).get("If-Range")
        if condition is not None:
            is_own = condition == self.headers["ETag"]
            left_out = (b"if-range",) if is_own else (b"if-range", b"range")
            kept = [each for each in scope["headers"] if each[0] not in left_out]
            scope = {**scope, "headers": kept}
        await super().__call__(scope, receive, send)


def _is_hidden(path: str) -> bool:
    pieces = path.split("/")
    if pieces[0] == _PUBLIC:
        del pieces[0]
    return any(piece.startswith(".") and piece != "." for piece in pieces)
