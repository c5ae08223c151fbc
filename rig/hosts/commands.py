"""Run the command `gapless` in the fork of a process that has imported it.

The tests run thousands of commands, and most of what one costs is the start of an
interpreter and its imports.  What runs here is the command's own `main`, in a process of
its own, with the words, directory, environment and descriptors of one that a shell starts.
Where the start itself matters, or another user or network, `Host` starts the real one.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parent.parent.parent
_VERBS = (
    "apps.delete apps.reload apps.restart apps.scale apps.start apps.stop "
    "inspect.describe inspect.list inspect.logs inspect.pid machine.shutdown "
    "releases.publish releases.rollback"
)
"""What nearly all commands of the tests are; others are imported when they run."""
_LATE = "config.pm2.files config.pm2.pm2_file config.toml.toml_file supervisor.stored"
"""What commands import when they need it: files, and apps without a supervisor."""
_MOST_BYTES = 200_000


class Commands:
    """A process that forks one for each command."""

    def __init__(self) -> None:
        self._address = f"\0gapless-rig-{os.getpid()}-{os.urandom(4).hex()}"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(self._address)
        listener.listen(64)
        lives, self._line = os.pipe()
        with listener:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(listener.fileno()), str(lives)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=(listener.fileno(), lives),
                process_group=0,  # what ends a whole group leaves it to end with us
            )
        os.close(lives)

    def run(
        self,
        words: list[str],
        *,
        cwd: Path,
        environment: dict[str, str],
        standard_input: str,
        timeout_s: float,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end.  Raises subprocess.TimeoutExpired."""
        line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with line, contextlib.ExitStack() as stack:
            line.settimeout(timeout_s)
            line.connect(self._address)
            pipes = [os.pipe() for _ in range(3)]
            (stdin, into), (out, stdout), (err, stderr) = pipes
            request = {"words": words, "cwd": str(cwd), "environment": environment}
            try:
                encoded = json.dumps(request).encode()
                socket.send_fds(line, [encoded], [stdin, stdout, stderr])
            finally:
                for each in (stdin, stdout, stderr):
                    os.close(each)
            outputs = [
                stack.enter_context(os.fdopen(each, "rb")) for each in (out, err)
            ]
            with os.fdopen(into, "wb") as file, contextlib.suppress(BrokenPipeError):
                file.write(standard_input.encode())
            pid = int(line.recv(64))
            try:
                found = _read_all(outputs, timeout_s)
                code = int(line.recv(64))
            except TimeoutError as error:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(words, timeout_s) from error
        return subprocess.CompletedProcess(words, code, *found)

    def close(self) -> None:
        """End the server."""
        os.close(self._line)
        self._process.wait()


@functools.cache
def started() -> Commands:
    """Return the one of this process, which is started when it is asked for first."""
    atexit.register(end)
    return Commands()


def end() -> None:
    """End the one of this process, if it was started."""
    if started.cache_info().currsize:
        started().close()
        started.cache_clear()
        atexit.unregister(end)


def _read_all(files: list[Any], timeout_s: float) -> list[str]:
    """Return what comes from each file until its end.  Raises TimeoutError."""
    found = dict.fromkeys(files, b"")
    with selectors.DefaultSelector() as selector:
        for file in files:
            selector.register(file, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(timeout_s)
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                piece = os.read(key.fd, 65536)
                found[key.fileobj] += piece
                if not piece:
                    selector.unregister(key.fileobj)
    return [text.decode() for text in found.values()]


# --- the server -------------------------------------------------------------------------


def _serve(listener: socket.socket, lives: int) -> dict[str, Any]:
    """Fork for each command; return its request, in the child."""
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(lives, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == lives:
                    sys.exit()
                if key.fileobj is not listener:
                    _tell_end(selector, key)
                    continue
                line, _ = listener.accept()
                encoded, descriptors, _, _ = socket.recv_fds(line, _MOST_BYTES, 3)
                child = os.fork()
                for number, descriptor in enumerate(descriptors):
                    if child == 0:
                        os.dup2(descriptor, number)
                    os.close(descriptor)
                if child == 0:
                    return dict(json.loads(encoded))
                with contextlib.suppress(OSError):  # who asked may be gone
                    line.send(str(child).encode())
                selector.register(
                    os.pidfd_open(child), selectors.EVENT_READ, (child, line)
                )


def _tell_end(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    """Reap a command that has ended, and say how."""
    child, line = key.data
    selector.unregister(key.fd)
    os.close(key.fd)
    _, status = os.waitpid(child, 0)
    with line, contextlib.suppress(OSError):
        line.send(str(os.waitstatus_to_exitcode(status)).encode())


def _stream(descriptor: int, mode: str, **how: Any) -> Any:
    """Return a standard stream as Python makes it."""
    return open(descriptor, mode, **how)


def main() -> None:
    """Serve until the process that asks is gone; in a child, be its command."""
    from gapless.__main__ import main as command

    for verb in _VERBS.split():
        importlib.import_module(f"gapless.cli.verbs.{verb}")
    for part in _LATE.split():
        importlib.import_module(f"gapless.{part}")
    gc.collect()
    gc.freeze()
    listener, lives = (int(number) for number in sys.argv[1:])
    os.set_inheritable(lives, False)
    with socket.socket(fileno=listener) as sock:
        sock.set_inheritable(False)
        request = _serve(sock, lives)
    os.close(lives)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["words"]
    sys.stdin = _stream(0, "r")
    sys.stdout = _stream(1, "w")
    sys.stderr = _stream(2, "w", buffering=1, errors="backslashreplace")
    _exit(command)


def _exit(command: Callable[[], int]) -> NoReturn:
    """Run a command and exit as Python does, without taking its modules apart.

    That would write to every object, so the kernel would copy all memory of the server:
    it costs more than most commands do.  What is not an ordinary end is left to Python.
    """
    try:
        code = command()
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        code = end.code
    if threading.active_count() > 1:
        sys.exit(code)
    atexit._run_exitfuncs()  # noqa: SLF001 - only Python's own end calls it else
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        sys.exit(code)
    os._exit(code)


if __name__ == "__main__":
    main()
