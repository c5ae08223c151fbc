"""The streams of all instances: no program waits for a supervisor to read its output."""

from __future__ import annotations

import selectors
from collections import Counter
from collections.abc import Callable

from gapless.base import clock, wire
from gapless.keeper.logs.log_file import DEFAULT_MODE, OWN_MODE, LogFile
from gapless.keeper.logs.rendering import Rendering
from gapless.keeper.logs.settings import LogSettings
from gapless.keeper.logs.stream import Status, Stream

RETRY_S = 1.0
PART_S = 0.2
"""After so long the beginning of a line is shown, whose end has not arrived."""
Send = Callable[[wire.Message], None]
"""Sends a message to the supervisor, if there is one."""


class Streams:
    """Moves what instances print from their pipes to log files."""

    def __init__(self, selector: selectors.BaseSelector, send: Send) -> None:
        self._selector, self._send = selector, send
        self._files: dict[str, LogFile] = {}
        self._users: Counter[str] = Counter()
        """How many streams use the file of a path."""
        self._blocked: dict[Stream, float] = {}
        """Streams that wait for a disk, and since when."""
        self._owing: dict[LogFile, None] = {}
        """Files that have lost lines and do not say so yet."""
        self._lost: Counter[str] = Counter()
        """How many lines were lost, by app."""
        self._told: dict[str, wire.Message] = {}
        """What the supervisor was told last, by app."""
        self._retry_at = 0.0
        self._parts: dict[Stream, float] = {}
        """Streams with the beginning of a line, and when it is to be shown."""

    def open(self, log: LogSettings, read_ends: list[int]) -> list[Stream]:
        """Begin to read an instance's output and error; return their streams.

        Raises OSError; the caller closes the read ends then.
        """
        opened = []
        for name, read_end in zip(("output", "error"), read_ends, strict=True):
            rendering = Rendering(
                app=log.app,
                generation=log.generation,
                ordinal=log.ordinal,
                id=log.id,
                stream="out" if name == "output" else "err",
                format=log.format,
                date_format=log.date_format,
            )
            path = log.output if name == "output" else log.error
            opened.append(Stream(read_end, self._files_of(path, log), rendering))
        try:
            for stream in opened:
                self._update(stream, Status.OPEN)
        except OSError:
            for stream in opened:
                self._stop(stream)
            raise
        return opened

    def drop(self, streams: list[Stream]) -> None:
        """Close streams whose program could not be started."""
        for stream in streams:
            self._update(stream, Status.ENDED)

    def transfer(self, streams: list[Stream]) -> None:
        """Move what is in the pipes now: it is logged before an exit is reported."""
        for stream in streams:
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
        """Try again, once a second, what a disk did not take; show parts of lines."""
        now = clock.monotonic()
        for stream in [each for each, at in self._parts.items() if at <= now]:
            del self._parts[stream]
            stream.show_part(clock.wall())
        if not self._is_troubled() or now < self._retry_at:
            return
        self._retry_at = now + RETRY_S
        for stream, since in list(self._blocked.items()):
            if stream.gives_up(now - since):
                stream.give_up()
            self._update(stream, stream.retry(clock.wall()))
        for file in list(self._owing):
            file.write_notice(clock.wall())
            if not file.lost_lines:
                del self._owing[file]
                self._close_unused(file)
        self._report()

    def wait_s(self) -> float | None:
        """Return after how long `retry` has something to do; None for never."""
        at = [*self._parts.values()]
        at += [self._retry_at] if self._is_troubled() else []
        return min(at) - clock.monotonic() if at else None

    def _is_troubled(self) -> bool:
        return bool(self._blocked or self._owing)

    # --- what the supervisor is told --------------------------------------------------

    def announce_all(self) -> None:
        """Tell a new supervisor of every app that has lost lines."""
        for message in self._told.values():
            self._send(message)

    def _report(self) -> None:
        """Tell of each app that loses lines, or waits; and when it is over."""
        reasons = {stream.app: _error_of(stream) for stream in self._blocked}
        reasons |= {file.app: file.error for file in self._owing}
        for app in {*reasons, *self._lost, *self._told}:
            message = {
                "event": "log_trouble",
                "app": app,
                "lines_lost": self._lost[app],
                "reason": reasons.get(app, ""),
            }
            if message != self._told.get(app):
                self._told[app] = message
                self._send(message)

    # --- files ------------------------------------------------------------------------

    def _files_of(self, path: str, log: LogSettings) -> tuple[LogFile, ...]:
        """Return where a stream goes: its own file, and the one for both streams."""
        paths = dict.fromkeys([path, log.combined or path])
        return tuple(self._file(each, log) for each in paths)

    def _file(self, path: str, log: LogSettings) -> LogFile:
        if path not in self._files:
            self._files[path] = LogFile(
                path,
                rotate_bytes=0,
                rotate_s=0.0,
                keep=log.keep,
                lost=self._lost,
            )
        self._users[path] += 1
        file = self._files[path]  # the newest configuration counts
        own = path in {getattr(log, name) for name in log.own}
        file.mode = OWN_MODE if own else DEFAULT_MODE
        stays = own and not log.rotate_own
        file.rotate_bytes = 0 if stays else log.rotate_bytes
        file.rotate_s = 0.0 if stays else log.rotate_s
        file.keep = log.keep
        return file

    def _close_unused(self, file: LogFile) -> None:
        """Close a file that no stream uses, once it says what it lost."""
        if not self._users[file.path] and file not in self._owing:
            del self._users[file.path]
            if self._files.pop(file.path, None):
                file.close()

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
        if status is Status.BLOCKED:
            self._blocked.setdefault(stream, clock.monotonic())
        else:
            self._blocked.pop(stream, None)
        if status is Status.OPEN and stream.has_part:
            self._parts.setdefault(stream, clock.monotonic() + PART_S)
        else:
            self._parts.pop(stream, None)
        self._owing |= {file: None for file in stream.files if file.lost_lines}
        if status is Status.ENDED:
            self._stop(stream)
            stream.close()

    def _stop(self, stream: Stream) -> None:
        """Let go of a stream; its read end stays open."""
        if stream.read_fd in self._selector.get_map():
            self._selector.unregister(stream.read_fd)
        for file in stream.files:
            self._users[file.path] -= 1
            self._close_unused(file)

    def _reader_of(self, stream: Stream) -> Callable[[], None]:
        return lambda: self._update(stream, stream.transfer(clock.wall()))


def _error_of(stream: Stream) -> str:
    return next((file.error for file in stream.files if file.error), "")
