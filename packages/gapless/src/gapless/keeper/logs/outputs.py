"""The log pipes of all instances, always emptied: nobody waits for a supervisor."""

from __future__ import annotations

import selectors
from collections.abc import Callable
from typing import Any

from gapless.base import clock
from gapless.keeper.logs import log_file, streams
from gapless.keeper.logs.rendering import Rendering

RETRY_S = 1.0


class Outputs:
    """Moves what instances print from their pipes to files."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._files: dict[str, log_file.LogFile] = {}
        self._blocked: list[streams.Stream] = []
        self._retry_at = 0.0

    def open(self, log: dict[str, Any], read_ends: list[int]) -> list[streams.Stream]:
        """Return the streams of one instance's output and error, listened to."""
        opened = []
        for name, read_end in zip(("output", "error"), read_ends, strict=True):
            rendering = Rendering(
                app=log["app"],
                generation=log["generation"],
                ordinal=log["ordinal"],
                identity=log.get("id", 0),
                stream="out" if name == "output" else "err",
                format=log["format"],
                date_format=log["date_format"],
            )
            stream = streams.Stream(read_end, self._sink(log[name], log), rendering)
            opened.append(stream)
            self._after(stream, streams.Status.OPEN)
        return opened

    def drain(self, own: list[streams.Stream]) -> None:
        """Move what waits now: the last words of a program come before its end."""
        for stream in list(own):
            if not stream.closed and stream not in self._blocked:
                self._after(stream, stream.pump(clock.wall()))

    def finish(self, own: list[streams.Stream]) -> None:
        """Move all that is left, and close the pipes once the disk has taken it."""
        for stream in own:
            if stream.closed:
                continue
            done = stream.finish(clock.wall())
            self._after(
                stream, streams.Status.ENDED if done else streams.Status.BLOCKED
            )

    def retry(self) -> None:
        """Try again what a disk did not take, once a second."""
        now = clock.monotonic()
        if self._blocked and now >= self._retry_at:
            self._retry_at = now + RETRY_S
            for stream in list(self._blocked):
                self._after(stream, stream.retry(clock.wall()))

    def wait_s(self) -> float | None:
        """Return after how long `retry` has something to do; None for never."""
        return self._retry_at - clock.monotonic() if self._blocked else None

    def _sink(self, path: str, log: dict[str, Any]) -> log_file.Sink:
        """Return where a stream goes: its own file, and the one for both."""
        own, combined = self._file(path, log), log.get("combined")
        if not combined or combined == path:
            return own
        return log_file.Both(own, self._file(combined, log))

    def _file(self, path: str, log: dict[str, Any]) -> log_file.LogFile:
        if path not in self._files:
            self._files[path] = log_file.LogFile(
                path,
                rotate_bytes=log["rotate_bytes"],
                rotate_s=log["rotate_s"],
                keep=log["keep"],
            )
        file = self._files[path]  # the newest configuration counts
        file.rotate_bytes, file.rotate_s = log["rotate_bytes"], log["rotate_s"]
        file.keep = log["keep"]
        return file

    def _after(self, stream: streams.Stream, status: streams.Status) -> None:
        """Listen to a stream or not, as its status asks for."""
        listened_to = stream.read_fd in self._selector.get_map()
        if status is streams.Status.OPEN and not listened_to:
            self._selector.register(
                stream.read_fd, selectors.EVENT_READ, self._pump(stream)
            )
        elif status is not streams.Status.OPEN and listened_to:
            self._selector.unregister(stream.read_fd)
        if status is streams.Status.BLOCKED and stream not in self._blocked:
            self._blocked.append(stream)
        elif status is not streams.Status.BLOCKED and stream in self._blocked:
            self._blocked.remove(stream)
        if status is streams.Status.ENDED:
            stream.close()

    def _pump(self, stream: streams.Stream) -> Callable[[], None]:
        return lambda: self._after(stream, stream.pump(clock.wall()))
