"""The streams of all instances: no program waits for a supervisor to read its output."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
from collections import Counter
from collections.abc import Callable, Mapping

from gapless.base import clock, codec, descriptors, wire
from gapless.keeper.guardian.reserve import Kept, Reserve
from gapless.keeper.guardian.scratch import Scratch, Writing
from gapless.keeper.logs.log_file import DEFAULT_MODE, NOWHERE, OWN_MODE, LogFile
from gapless.keeper.logs.rendering import Rendering
from gapless.keeper.logs.settings import LogSettings
from gapless.keeper.logs.stream import (
    PIPE_BYTES,
    Status,
    Stream,
    pipe_bytes,
    unread_bytes,
)

STREAM, FILE, TROUBLE = "stream/", "file/", "trouble/"
"""How the names begin by which streams, places of files, and lost lines are kept."""
RETRY_S = 1.0
PART_S = 0.2
"""After so long the beginning of a line is shown, whose end has not arrived."""
Send = Callable[[wire.Message], None]
"""Sends a message to the supervisor, if there is one."""


class Streams:
    """Moves what instances print from their pipes to log files."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        send: Send,
        reserve: Reserve,
        scratch: Scratch,
    ) -> None:
        """Have what is under way in *scratch*, and what there is in *reserve*."""
        self._selector, self._send = selector, send
        self._reserve, self._scratch = reserve, scratch
        self._names: dict[Stream, str] = {}
        """By which name each stream is kept."""
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
        self._late: dict[str, list[Stream]] = {}
        """What could not be recovered yet, by name, and the streams among which it is."""
        self._late_reasons: dict[str, str] = {}
        """Why not, by app."""
        self._parts: dict[Stream, float] = {}
        """Streams with the beginning of a line, and when it is to be shown."""

    def open(
        self, key: str, log: LogSettings, read_ends: Mapping[str, int]
    ) -> list[Stream]:
        """Begin to read an instance's `output` and `error`; return their streams.

        Raises OSError; the caller closes the read ends then.
        """
        opened: list[Stream] = []
        try:
            for name, read_end in read_ends.items():
                stream = self._make(log, name, read_end, None)
                opened.append(stream)
                assert stream.reading is not None
                value = {
                    "stream": name,
                    "place": stream.reading.number,
                    "log": codec.encode(log),
                }
                self._names[stream] = f"{STREAM}{key}/{name}"
                encoded = json.dumps(value).encode()
                self._reserve.put(self._names[stream], encoded, read_end)
            for stream in opened:
                self._update(stream, Status.OPEN)
        except OSError:
            for stream in opened:
                self._stop(stream)
                if stream.reading is not None:
                    stream.reading.close()
            raise
        return opened

    def _make(
        self, log: LogSettings, name: str, read_end: int, place: int | None
    ) -> Stream:
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
        reading = self._scratch.reading(place)
        return Stream(read_end, self._files_of(path, log), rendering, reading)

    # --- what a keeper before this one has left ---------------------------------------

    def recover(self) -> dict[str, list[Stream]]:
        """Go on with the streams of a keeper before this one; return them by their key.

        One that cannot be gone on with is tried again: it is among the others then.
        """
        by_key: dict[str, list[Stream]] = {}
        for name, kept in self._reserve.named(STREAM).items():
            self._recover(name, kept, by_key.setdefault(name.rpartition("/")[0], []))
        for message in self._reserve.named(TROUBLE).values():
            told = json.loads(message.value)
            self._told[told["app"]] = told
            self._lost[told["app"]] = told["lines_lost"]
        self._drop_unused_places()
        streams = [each for found in by_key.values() for each in found]
        for stream in streams:
            stream.resume()
        for stream in streams:
            self._update(stream, stream.transfer(clock.wall()))
        return by_key

    def _recover(self, name: str, kept: Kept, among: list[Stream]) -> None:
        """Have a stream again, now or later: its pipe stays open."""
        if not kept.descriptors:  # there was no room to keep it
            self._reserve.drop(f"{STREAM}{name}")
            return
        try:
            stream = self._recovered(kept)
        except (LookupError, ValueError, OSError, TypeError) as error:
            self._late[name] = among
            reason = getattr(error, "strerror", None) or repr(error)
            self._late_reasons[_app_of(name)] = f"its pipe cannot be read: {reason}"
            return
        self._names[stream] = f"{STREAM}{name}"
        among.append(stream)

    def _recover_late(self) -> None:
        """Try again to have what could not be recovered; no program waits for that."""
        late, self._late, self._late_reasons = self._late, {}, {}
        for name, among in late.items():
            kept, count = self._reserve.named(STREAM)[name], len(among)
            self._recover(name, kept, among)
            for stream in among[count:]:
                stream.resume()
                self._update(stream, stream.transfer(clock.wall()))
            if name in self._late:
                self._discard(name, kept, least_share=0.5)
        if late:
            self._drop_unused_places()

    def _drop_unused_places(self) -> None:
        """Drop the places of files that no stream uses, once every stream is there."""
        for path in () if self._late else self._reserve.named(FILE):
            if path not in self._files:
                self._reserve.drop(f"{FILE}{path}")

    def _discard(self, name: str, kept: Kept, *, least_share: float) -> None:
        """Empty the pipe of a program that would wait soon, and count its lines."""
        for each in kept.descriptors:
            with contextlib.suppress(OSError):
                if unread_bytes(each) >= least_share * pipe_bytes(each):
                    lost = os.read(each, PIPE_BYTES)
                    self._lost[_app_of(name)] += lost.count(b"\n")

    def _forget_late(self, streams: list[Stream]) -> None:
        """Let go of what was not recovered: its program has ended."""
        found = [name for name, among in self._late.items() if among is streams]
        for name in found:
            kept = self._reserve.named(STREAM)[name]
            self._discard(name, kept, least_share=0.0)
            del self._late[name]
            self._reserve.drop(f"{STREAM}{name}")
            for each in kept.descriptors:
                descriptors.close(each)
        if found:
            self._drop_unused_places()

    def _recovered(self, kept: Kept) -> Stream:
        value = json.loads(kept.value)
        log = codec.decode(LogSettings, value["log"], "log")
        (read_end,) = kept.descriptors
        return self._make(log, value["stream"], read_end, value["place"])

    def drop(self, streams: list[Stream]) -> None:
        """Close streams whose program could not be started."""
        self._forget_late(streams)
        for stream in streams:
            if not stream.closed:
                self._update(stream, Status.ENDED)

    def transfer(self, streams: list[Stream]) -> None:
        """Move what is in the pipes now: it is logged before an exit is reported."""
        for stream in streams:
            if not stream.closed and stream not in self._blocked:
                self._update(stream, stream.transfer(clock.wall()))

    def finish(self, streams: list[Stream]) -> None:
        """Move all that is left, and close the pipes once the disk has taken it."""
        self._forget_late(streams)
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
        self._recover_late()
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
        # That it is over is told too, and what was lost with a program that has ended.
        told = {app: each["lines_lost"] for app, each in self._told.items()}
        return (
            bool(self._blocked or self._owing or self._late)
            or any(each["reason"] for each in self._told.values())
            or any(told.get(app, 0) != lost for app, lost in self._lost.items())
        )

    # --- what the supervisor is told --------------------------------------------------

    def announce_all(self) -> None:
        """Tell a new supervisor of every app that has lost lines."""
        for message in self._told.values():
            self._send(message)

    def _report(self) -> None:
        """Tell of each app that loses lines, or waits; and when it is over."""
        reasons = {stream.app: _error_of(stream) for stream in self._blocked}
        reasons |= {file.app: file.error for file in self._owing}
        reasons |= self._late_reasons
        for app in {*reasons, *self._lost, *self._told}:
            message = {
                "event": "log_trouble",
                "app": app,
                "lines_lost": self._lost[app],
                "reason": reasons.get(app, ""),
            }
            if message != self._told.get(app):
                self._told[app] = message
                self._reserve.put(f"{TROUBLE}{app}", json.dumps(message).encode())
                self._send(message)

    # --- files ------------------------------------------------------------------------

    def _files_of(self, path: str, log: LogSettings) -> tuple[LogFile, ...]:
        """Return where a stream goes: its own file, and the one for both streams."""
        found: list[LogFile] = []
        try:
            paths = dict.fromkeys([path, log.combined or path])
            found.extend(self._file(each, log) for each in paths)
        except OSError:
            for file in found:
                self._users[file.path] -= 1
            raise
        return tuple(found)

    def _file(self, path: str, log: LogSettings) -> LogFile:
        if path not in self._files:
            file = self._files[path] = LogFile(
                path,
                rotate_bytes=0,
                rotate_s=0.0,
                keep=log.keep,
                lost=self._lost,
                writing=self._place_of(path),
            )
            self._resume(file)
        self._users[path] += 1
        file = self._files[path]  # the newest configuration counts
        own = path in {getattr(log, name) for name in log.own}
        file.mode = OWN_MODE if own else DEFAULT_MODE
        stays = own and not log.rotate_own
        file.rotate_bytes = 0 if stays else log.rotate_bytes
        file.rotate_s = 0.0 if stays else log.rotate_s
        file.keep = log.keep
        return file

    def _resume(self, file: LogFile) -> None:
        """Let a file have what it had to take when the keeper before this one ended."""
        writing = file.writing
        if writing is None:
            return
        owner = writing.owner()
        chunk, written = writing.left(*file.size())
        file.lost_lines = writing.lost_lines
        if chunk and (owner is None or self._scratch.serial_in(owner[0]) == owner[1]):
            writing.take()
            file.resume(chunk, written)
        else:
            writing.clear()

    def _place_of(self, path: str) -> Writing | None:
        """Return where it is noted what a file has to take."""
        if path in NOWHERE:
            return None
        kept = self._reserve.value(f"{FILE}{path}")
        place = None if kept is None else int(json.loads(kept)["place"])
        writing = self._scratch.writing(place)
        if kept is None:
            value = json.dumps({"place": writing.number}).encode()
            self._reserve.put(f"{FILE}{path}", value)
        return writing

    def _close_unused(self, file: LogFile) -> None:
        """Close a file that no stream uses, once it says what it lost."""
        if not self._users[file.path] and file not in self._owing:
            del self._users[file.path]
            if self._files.pop(file.path, None):
                file.close()
                self._reserve.drop(f"{FILE}{file.path}")
                if file.writing is not None:
                    file.writing.close()
                    file.writing = None

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
        self._reserve.drop(self._names.pop(stream, ""))
        if stream.read_fd in self._selector.get_map():
            self._selector.unregister(stream.read_fd)
        for file in stream.files:
            self._users[file.path] -= 1
            self._close_unused(file)

    def _reader_of(self, stream: Stream) -> Callable[[], None]:
        return lambda: self._update(stream, stream.transfer(clock.wall()))


def _error_of(stream: Stream) -> str:
    return next((file.error for file in stream.files if file.error), "")


def _app_of(name: str) -> str:
    """Return the app of a stream, by the name by which it is kept."""
    return name.partition("/")[0]
