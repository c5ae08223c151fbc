"""One connection: what it answers when the supervisor itself has a fault."""

from __future__ import annotations

import json
import selectors
import socket
from pathlib import Path

import pytest

from gapless.base import errors, events, wakeup
from gapless.supervisor.control.control_connection import ControlConnection
from gapless.supervisor.control.request import Request


def _fall(request: Request, _: ControlConnection) -> None:
    if request.op == "deep":
        _fall(request, _)
    raise KeyError(request.op)


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(("op", "named"), [("list", "KeyError"), ("deep", "Recursion")])
def test_a_fault_ends_that_request_alone(tmp_path: Path, op: str, named: str) -> None:
    """The client gets an internal error, the log the traceback."""
    log = events.Log(str(tmp_path / "log"))
    ended: list[ControlConnection] = []
    near, far = socket.socketpair()
    with far, selectors.DefaultSelector() as selector:
        changed: list[ControlConnection] = []
        connection = ControlConnection(
            selector,
            near,
            _fall,
            changed=changed.append,
            ended=ended.append,
            log=log,
        )
        far.sendall(json.dumps({"op": op}).encode() + b"\n")
        wakeup.call_ready(selector, 10, _raise)
        assert changed, "nobody is told that there is something to flush"
        connection.flush()
        with far.makefile("rb") as lines:
            (line,) = lines
    error = errors.from_wire(json.loads(line)["error"])
    assert isinstance(error, errors.InternalError)
    assert named in error.message
    assert ended == [connection]
    (event,) = (tmp_path / "log").read_text().splitlines()
    assert "_fall" in json.loads(event)["traceback"]
