"""A newer version ran here, and left what this one does not know."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from gapless.base import wire
from gapless.keeper import run as keeper_run
from rig.hosts.host import Host
from rig.wait import answers, free_port, until


def _with_more(plain: Any) -> Any:
    return plain | {
        "added_later": {"x": [1]},
        "generations": [each | {"added_later": 1} for each in plain["generations"]],
    }


def test_a_field_more_in_state_and_notes_is_left_alone(host: Host) -> None:
    """Commands work, and the app is the same process."""
    host.configure('[app.app]\ncommand = ["sleep", "1000"]\nmin_healthy_s = 0.1\n')
    host.ok("start", "gapless.toml")
    pids = host.app("app")["pids"]
    supervisor = host.supervisor_pid()
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: supervisor not in host.processes(), "its end")
    path = host.home / "state.json"
    state = json.loads(path.read_text())
    state["apps"]["app"]["added_later"] = state["added_later"] = [1]
    path.write_text(json.dumps(state))
    _change_notes(host, _with_more)
    assert host.app("app")["pids"] == pids
    host.ok("reload", "app")
    host.ok("list")


def _change_notes(host: Host, change: Callable[[Any], Any]) -> None:
    """Be a supervisor of another version for a moment."""
    line = keeper_run.connect(str(host.home))
    assert line is not None
    channel = wire.Channel(line)
    line.setblocking(True)
    line.settimeout(20)
    notes: dict[str, Any] = {}
    try:
        event = ""
        while event != "welcome":
            message, descriptors = channel.receive()
            for descriptor in descriptors:
                os.close(descriptor)
            event = message["event"]
            if event == "note":
                notes[message["name"]] = message["value"]
        for name, value in notes.items():
            if name.startswith("app/"):
                changed = change(value)
                channel.send({"op": "note", "name": name, "value": changed})
        line.shutdown(socket.SHUT_WR)
        while True:
            channel.receive()
    except (EOFError, ConnectionError):
        return  # the keeper has read it all, and waits for the next supervisor
    finally:
        channel.close()


def test_a_note_that_cannot_be_read_ends_no_app(host: Host) -> None:
    """That app is left alone and named, and its instance, wishes and sockets stay."""
    port = free_port()
    host.start("app", ["python3", "tiny.py"], port=port)
    host.configure('[app.other]\ncommand = ["sleep", "1000"]\nmin_healthy_s = 0.1\n')
    host.ok("start", "gapless.toml")
    (pid,) = host.app("app")["pids"]
    supervisor = host.supervisor_pid()
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: supervisor not in host.processes(), "its end")
    _change_notes(host, lambda note: note | _of_app(note, last_serial="many"))
    listed = host.ok("list")
    assert "app: left alone, it serves on: another version noted it" in listed
    assert "last_serial is 'many'" in listed
    host.ok("reload", "other")
    for words in (("reload", "app"), ("start", "app.toml"), ("shutdown",)):
        done = host.gapless(*words)
        assert done.returncode == 1
        assert "app: could not read what the last supervisor noted" in done.stderr
    assert pid in host.processes()
    assert answers(port)
    supervisor = host.supervisor_pid()
    os.kill(supervisor, signal.SIGTERM)
    until(lambda: supervisor not in host.processes(), "its end")
    _change_notes(host, lambda note: note | _of_app(note, last_serial=1))
    assert host.app("app")["pids"] == [pid]
    host.ok("reload", "app")
    assert answers(port)


def _of_app(note: Any, **changed: Any) -> dict[str, Any]:
    return changed if note["name"] == "app" else {}
