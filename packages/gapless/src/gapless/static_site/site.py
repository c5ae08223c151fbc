"""The ASGI app that answers with the files of one directory.

Starlette does the work: types, HEAD, ranges, ETag, index.html, 404.html, and that no path
and no link leads out of the directory.  What is added: no hidden files, one page for all
paths.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from gapless.static_site.settings import DEFAULT_HOMEPAGE, Settings

_PUBLIC = ".well-known"
"""The one hidden name that is served, at the top: RFC 8615."""
_NOTHING: tuple[str, os.stat_result | None] = ("", None)


class Site(StaticFiles):
    """The files of one directory."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(directory=settings.directory, html=True)
        self._settings = settings

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
        return found, status

    def file_response(self, *arguments: Any, **settings: Any) -> Response:
        """Return a file, which scripts of other sites may read, as from PM2."""
        answer = super().file_response(*arguments, **settings)
        if self._settings.credentials is None:
            answer.headers["Access-Control-Allow-Origin"] = "*"
        return answer


def _is_hidden(path: str) -> bool:
    pieces = path.split("/")
    if pieces[0] == _PUBLIC:
        del pieces[0]
    return any(piece.startswith(".") and piece != "." for piece in pieces)
