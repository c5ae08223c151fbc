"""The streams of all instances: no program waits for a supervisor to read its output."""

from __future__ import annotations

import selectors
from collections.abc import Callable
from typing import Any

from gapless.base import clock
from gapless.keeper.logs.log_file import LogFile
from gapless.keeper.logs.rendering import Rendering
from gapless.keeper.logs.stream import Status, Stream

RETRY_S = 1.0


class Streams:
    """Moves what instances print from their pipes to log files."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._files: dict[str, LogFile] = {}
        self._blocked: list[Stream] = []
        self._retry_at = 0.0

    def open(self, log: dict[str, Any], read_ends: list[int]) -> list[Stream]:
        """Begin to read an instance's output and error; return their streams.

        *log* is the `log` of a spawn message (spec/keeper.md).
        """
        opened = []
        for name, read_end in zip(("output", "error"), read_ends, strict=True):
            rendering = Rendering(
                app=log["app"],
                generation=log["generation"],
                ordinal=log["ordinal"],
                id=log.get("id", 0),
                stream="out" if name == "output" else "err",
                format=log["format"],
                date_format=log["date_format"],
            )
            stream = Stream(read_end, self._files_of(log[name], log), rendering)
            opened.append(stream)
            self._update(stream, Status.OPEN)
        return opened

    def transfer(self, streams: list[Stream]) -> None:
        """Move what is in the pipes now: it is logged before an exit is reported."""
        for stream in list(streams):
            if not stream.closed and stream not in self._blocked:
                self._update(stream, stream.transfer(clock.wall()))

    def finish(self, streams: list[Stream]) -> None:
        """Move all that is left, and close the pipes once the disk has taken it."""
        for stream in streams:
            if stream.closed:
                continue
            done = stream.finish(clock.wall())
            self._update(stream, Status.ENDED if done else Status.BLOCKED)

    def retry(self) -> None:
        """Try again, once a second, what a disk did not take."""
        now = clock.monotonic()
        if self._blocked and now >= self._retry_at:
            self._retry_at = now + RETRY_S
            for stream in list(self._blocked):
                self._update(stream, stream.retry(clock.wall()))

    def wait_s(self) -> float | None:
        """Return after how long `retry` has something to do; None for never."""
        return self._retry_at - clock.monotonic() if self._blocked else None

    # --- files ------------------------------------------------------------------------

    def _files_of(self, path: str, log: dict[str, Any]) -> tuple[LogFile, ...]:
        """Return where a stream goes: its own file, and the one for both streams."""
        own, combined = self._file(path, log), log.get("combined")
        if not combined or combined == path:
            return (own,)
        return (own, self._file(combined, log))

    def _file(self, path: str, log: dict[str, Any]) -> LogFile:
        if path not in self._files:
            self._files[path] = LogFile(
                path,
                rotate_bytes=log["rotate_bytes"],
                rotate_s=log["rotate_s"],
                keep=log["keep"],
            )
        file = self._files[path]  # the newest configuration counts
        file.rotate_bytes, file.rotate_s = log["rotate_bytes"], log["rotate_s"]
        file.keep = log["keep"]
        return file

    # --- which pipes are read ---------------------------------------------------------

    def _update(self, stream: Stream, status: Status) -> None:
        """Wait for a stream's pipe, or wait for its disk, or close it."""
        registered = stream.read_fd in self._selector.get_map()
        if status is Status.OPEN and not registered:
            self._selector.register(
                stream.read_fd, selectors.EVENT_READ, self._reader_of(stream)
            )
        elif status is not Status.OPEN and registered:
            self._selector.unregister(stream.read_fd)
        if status is Status.BLOCKED and stream not in self._blocked:
            self._blocked.append(stream)
        elif status is not Status.BLOCKED and stream in self._blocked:
            self._blocked.remove(stream)
        if status is Status.ENDED:
            stream.close()

    def _reader_of(self, stream: Stream) -> Callable[[], None]:
        return lambda: self._update(stream, stream.transfer(clock.wall()))
