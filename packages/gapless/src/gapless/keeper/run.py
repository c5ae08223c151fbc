"""Start the keeper: a fork of a process that has imported almost nothing.

It is forked twice, so that it is a child of init (or of a subreaper), not of the
supervisor; and it becomes a subreaper itself (prctl(2)), so that what an instance
leaves behind becomes its child and is reaped.
"""

from __future__ import annotations

import os
import socket


def connect(home: str) -> socket.socket | None:
    """Return a connection to the keeper of *home*, or None if none is alive."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    directory = os.open(home, os.O_PATH | os.O_DIRECTORY)
    try:
        # A path by way of /proc has no limit of 107 bytes (unix(7)).
        sock.connect(f"/proc/self/fd/{directory}/keeper.sock")
    except (ConnectionRefusedError, FileNotFoundError):
        sock.close()
        return None
    except BaseException:
        sock.close()
        raise
    finally:
        os.close(directory)
    return sock


def start(home: str) -> None:
    """Fork a keeper for *home* and return when it listens.

    Raises OSError if it could not start.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        _become_keeper(home, write_end)
    os.close(write_end)
    try:
        os.waitpid(child, 0)
        answer = os.read(read_end, 4096)
    finally:
        os.close(read_end)
    if answer != b"ok":
        raise OSError(f"the keeper did not start: {answer.decode() or 'it died'}")


def _become_keeper(home: str, write_end: int) -> None:
    """Run as the keeper; never returns."""
    told = False
    try:
        _close_all_but(write_end)
        os.setsid()
        if os.fork():
            os._exit(0)
        from gapless.keeper.keeper import prepare, run  # noqa: PLC0415 - fork first

        keeper = prepare(home)
        os.write(write_end, b"ok")
        os.close(write_end)
        told = True
        run(keeper, home)
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - the last words of a process
        if not told:
            os.write(write_end, f"{type(error).__name__}: {error}".encode()[:4000])
        import traceback  # noqa: PLC0415 - only for the last words

        os.write(2, b"gapless keeper: " + traceback.format_exc().encode())
    finally:
        os._exit(1)


def _close_all_but(kept: int) -> None:
    """Let go of what the supervisor had open: its lock above all."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor > 2 and descriptor != kept:
            try:
                os.close(descriptor)
            except OSError:
                continue  # the descriptor of the listing itself
