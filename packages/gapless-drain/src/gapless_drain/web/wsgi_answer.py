"""What a WSGI app returned: it is under way until the server closes it (PEP 3333)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from gapless_drain.activity import Activity
from gapless_drain.core import Core

Environ = dict[str, Any]


class Answer:
    """What an app returned, until the server has sent it and closes it."""

    __slots__ = ("_activity", "_core", "_pieces", "headers", "inner")

    def __init__(self, core: Core, activity: Activity) -> None:
        self._core, self._activity = core, activity
        self.inner: Any = ()
        """What the app returned."""
        self._pieces: Iterator[bytes] | None = None
        self.headers: Any = ()
        """Those that the app has begun its answer with."""

    def of(self, inner: Any, environ: Environ) -> Any:
        """Return the answer in a form that keeps what servers check for.

        That is the class of `wsgi.file_wrapper`, and whether the answer has a length.
        """
        wrapper: Any = environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type) and isinstance(inner, wrapper):
            self.inner = ()
            file: Any = inner
            close_file = getattr(file, "close", None)
            try:
                file.close = lambda: self._close_after(close_file)
            except AttributeError:
                pass
            else:
                return file  # so that the server can still use sendfile(2)
        self.inner = inner
        if hasattr(inner, "__len__"):
            self.__class__ = SizedAnswer
        return self

    def _close_after(self, close_file: Callable[[], None] | None) -> None:
        try:
            if close_file is not None:
                close_file()
        finally:
            self.close()

    def __iter__(self) -> Iterator[bytes]:
        # A list is complete: a drain need not be noticed between its pieces.
        return iter(self.inner) if type(self.inner) is list else self

    def __next__(self) -> bytes:
        if self._pieces is None:
            self._pieces = iter(self.inner)
        if self._core.drains and _is_event_stream(self.headers):
            raise StopIteration
        return next(self._pieces)

    def close(self) -> None:
        """Finish the request, once; the server calls this whatever has happened."""
        try:
            close_inner = getattr(self.inner, "close", None)
            self.inner = ()
            if close_inner is not None:
                close_inner()
        finally:
            if self._activity.is_open:
                self._core.finish(self._activity, time.monotonic())

    def __del__(self) -> None:
        # For servers that forget to close.
        if self._activity.is_open:
            self._core.finish(self._activity, time.monotonic())


class SizedAnswer(Answer):
    """An answer with a length: servers send Content-Length if it is 1."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self.inner)


def _is_event_stream(headers: Any) -> bool:
    """Return whether an answer is a stream of server-sent events."""
    for name, value in headers:
        if len(name) == 12 and name.lower() == "content-type":
            return str(value).startswith("text/event-stream")
    return False
