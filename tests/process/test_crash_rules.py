"""Each rule of what a crash of the supervisor may not harm, at the place that needs it.

A supervisor with a trap takes the apps over.  It kills itself at that place, and the
command that waits starts the next one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gapless.base import interpreter
from gapless.client import Client
from rig.hosts.host import Host
from rig.hosts.replaced import replaced_supervisor
from rig.load import engine
from rig.load.process import run_load
from rig.matrix import matrix
from rig.wait import answers, free_port, until

pytestmark = pytest.mark.filterwarnings(
    # A client in this process starts supervisors that outlive its request.
    "ignore:subprocess .* is still running:ResourceWarning"
)

GOOD = ["node", "app.js"]
DIES_EARLY = [
    "node",
    "-e",
    "setTimeout(() => process.exit(3), 700); require('./app.js')",
]
PRELUDE = """
import os, signal, sys
from gapless.supervisor import run
from gapless.supervisor.memory.keeper_connection import KeeperConnection
def die():
    os.kill(os.getpid(), signal.SIGKILL)
plain_send = KeeperConnection._send
def trap(condition, late=True):
    def send(self, message, descriptors=()):
        if not late and condition(message): die()
        plain_send(self, message, descriptors)
        if late and condition(message): die()
    KeeperConnection._send = send
"""


@contextmanager
def trapped(host: Host, trap: str) -> Iterator[subprocess.Popen[bytes]]:
    """Put a supervisor with a trap in the place of the one that runs, if one does."""
    code = f"{PRELUDE}\n{trap}\nrun.main(sys.argv[1:])"
    with replaced_supervisor(host, code) as process:
        yield process
        until(lambda: process.poll() is not None, "the death in the trap", 30)
        assert process.returncode == -signal.SIGKILL


def end_of(command: subprocess.Popen[str]) -> tuple[int, str]:
    """Return the exit code of a command, and what it printed."""
    output = command.communicate(timeout=60)[0]
    return command.returncode, output


# --- what this keeper was given and does not report has ended -----------------------------

FORGOTTEN = {
    "right after the forget": "trap(lambda m: m['op'] == 'forget')",
    "with no note of the exit": """
from gapless.supervisor.instances.exits import Exits
def exited(self, key, *how):
    plain_send(self._keeper, {"op": "forget", "key": key})
    die()
Exits.exited = exited
""",
}


@pytest.mark.parametrize("trap", FORGOTTEN.values(), ids=FORGOTTEN)
def test_a_release_that_died_while_it_proved_itself_is_not_proven(
    host: Host, trap: str
) -> None:
    """The instance has ended for the next supervisor as well: the old one serves."""
    port = free_port()
    more = "min_healthy_s = 2"
    host.start("app", GOOD, port=port, more=more)
    with trapped(host, trap):
        host.declare("app", DIES_EARLY, port=port, release="2", more=more)
        code, output = end_of(host.begin("reload", "app"))
    assert code == 1, output
    assert answers(port)
    described = host.app("app")
    assert [g["role"] for g in described["generations"]] == ["serving"]
    assert described["generation"] == 1


@pytest.mark.parametrize("trap", FORGOTTEN.values(), ids=FORGOTTEN)
def test_an_instance_that_crashed_is_started_again(host: Host, trap: str) -> None:
    """No phantom is ready in its place."""
    port = free_port()
    host.start("app", GOOD, port=port)
    (pid,) = host.app("app")["pids"]
    with trapped(host, trap):
        os.kill(pid, signal.SIGKILL)
    until(lambda: host.row("app")["pids"] not in ([], [pid]), "a new instance")
    until(lambda: host.status("app") == "online", "online")
    (pid,) = host.app("app")["pids"]
    assert os.path.exists(f"/proc/{pid}")


@pytest.mark.parametrize("trap", FORGOTTEN.values(), ids=FORGOTTEN)
def test_an_old_generation_ends(host: Host, trap: str) -> None:
    """It does not retire for ever, and the reload is done."""
    port = free_port()
    host.start("app", GOOD, port=port)
    with trapped(host, trap):
        host.declare("app", GOOD, port=port, release="2")
        code, output = end_of(host.begin("reload", "app"))
    assert code == 0, output
    described = host.app("app")
    assert [g["role"] for g in described["generations"]] == ["serving"]


def test_a_start_that_was_refused_unheard_counts_as_failed(host: Host) -> None:
    """The next supervisor does not start the same again and again."""
    trap = "trap(lambda m: m['op'] == 'note' and 'app/1/0/' in repr(m))"
    program = host.directory / "program"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    with trapped(host, trap):
        host.declare("app", [str(program)], port=1, release="1")
        code, output = end_of(host.begin("start", "app.toml"))
    assert code == 1, output
    assert "the interpreter that its first line names does not exist" in output
    assert host.app("app")["generations"] == []


# --- every act may come twice -------------------------------------------------------------

LISTENERS = "from gapless.supervisor.sockets.listeners import Listeners\n"
ANSWERS = "trap(lambda m: m['op'] == 'answer' and m['action'] == 'done', late={late})"
BETWEEN = {
    "bind and hold": f"{LISTENERS}Listeners.add = lambda *_: die()",
    "hold and answer": ANSWERS.format(late=False),
    "answer and listen": ANSWERS.format(late=True),
    "listen and hold": LISTENERS
    + """
plain = Listeners._hold
def hold(self, listener):
    if listener.listening: die()
    plain(self, listener)
Listeners._hold = hold
""",
}


@pytest.mark.parametrize(
    "between", matrix(BETWEEN, "hold and answer", "listen and hold")
)
@pytest.mark.parametrize("instances", matrix([1, 2], 2))
def test_a_socket_that_is_bound_or_listens_already_is_taken_as_it_is(
    host: Host, between: str, instances: int
) -> None:
    """The program's call returns 0, and the release is done."""
    port = free_port()
    more = f"instances = {instances}"
    host.start("app", GOOD, port=port, more=more)
    with trapped(host, BETWEEN[between]), run_load(port, engine.NEW) as under_load:
        host.declare("app", GOOD, port=port, release="2", more=more)
        code, output = end_of(host.begin("reload", "app"))
        assert code == 0, output
        under_load.wait_for_version("2")
        report = under_load.stop()
    assert report.lost == 0, str(report)


# --- a signal counts as sent when it was sent ---------------------------------------------


def test_a_program_that_starts_too_late_is_ended(host: Host) -> None:
    """The keeper was paused; what it starts then belongs to nothing any more."""
    port = free_port()
    more = "ready = { timeout_s = 0.5 }"
    host.start("app", GOOD, port=port, more="ready = { timeout_s = 20 }")
    keeper = host.keeper_pid()
    host.declare("app", GOOD, port=port, release="2", more=more)
    os.kill(keeper, signal.SIGSTOP)
    try:
        reload = host.begin("reload", "app")

        def is_retiring() -> bool:
            roles = [g["role"] for g in host.app("app")["generations"]]
            return roles == ["serving", "retiring"]

        until(is_retiring, "the end of the trial")
    finally:
        os.kill(keeper, signal.SIGCONT)
    code, output = end_of(reload)
    assert code == 1, output
    assert "did not listen" in output
    (pid,) = host.app("app")["pids"]
    log = (host.home / "logs" / "gapless.log").read_text()
    assert "send_stop" in log.lower() or "SendStop" in log
    until(lambda: len(host.processes()) == 4, "those of gapless and one instance")
    assert pid in host.processes()


def test_an_app_that_was_stopped_before_it_was_started_ends(host: Host) -> None:
    """`shutdown` waits for the keeper, and for what it starts."""
    host.start("app", GOOD, port=free_port())
    keeper = host.keeper_pid()
    os.kill(keeper, signal.SIGSTOP)
    try:
        started = host.begin("start", "sleep", "--name", "late", "--", 1000)
        until(lambda: host.app("late").get("status") == "starting", "the start")
        stopped = host.begin("stop", "late")
        until(lambda: host.status("late") == "stopping", "the stop")
    finally:
        os.kill(keeper, signal.SIGCONT)
    assert end_of(stopped)[0] == 0
    assert end_of(started)[0] == 1
    host.ok("shutdown")
    until(lambda: not host.processes(), "nothing left")


# --- whoever follows an operation is told its steps again ---------------------------------

FIRST_START = {
    "before the note": "trap(lambda m: m['op'] == 'note', late=False)",
    "after the spawn": "trap(lambda m: m['op'] == 'spawn')",
    "after the note": "trap(lambda m: m['op'] == 'note')",
    "with the keeper": """
def both(message):
    if message["op"] == "spawn":
        from gapless.keeper import run as keeper_run
        import socket, struct, os
        line = keeper_run.connect(sys.argv[1])
        found = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        os.kill(struct.unpack("3i", found)[0], signal.SIGKILL)
        return True
trap(both, late=False)
""",
}


@pytest.mark.parametrize("trap", FIRST_START.values(), ids=FIRST_START)
def test_a_first_start_whose_supervisor_dies_is_done(host: Host, trap: str) -> None:
    """The command finds what it asked for, and does not ask twice."""
    port = free_port()
    with trapped(host, trap):
        host.declare("app", GOOD, port=port, release="1")
        code, output = end_of(host.begin("start", "app.toml"))
    assert code == 0, output
    assert host.status("app") == "online"
    assert len(host.app("app")["pids"]) == 1


FORKED = """
plain_fork = os.fork
def fork():
    child = plain_fork()
    if child: die()
    os.fork = plain_fork
    return child
os.fork = fork
"""


def test_a_supervisor_that_dies_with_a_keeper_on_its_way_leaves_no_second_one(
    host: Host,
) -> None:
    """The next one finds it, or starts one; there is one in the end."""
    Client(str(host.home)).make_home()
    host.declare("app", GOOD, port=free_port(), release="1")
    code = f"{PRELUDE}\n{FORKED}\nrun.main(sys.argv[1:])"
    argv = [sys.executable, "-c", code, str(host.home)]
    done = subprocess.run(argv, env=host.environment, cwd="/", check=False)
    assert done.returncode == -signal.SIGKILL
    host.ok("start", "app.toml")
    assert host.status("app") == "online"
    until(lambda: len(host.processes()) == 4, "those of gapless and one instance")


def test_a_delete_whose_supervisor_dies_is_done(host: Host) -> None:
    """The app is gone, and its report is still found."""
    host.start("app", GOOD, port=free_port())
    note = host.home / "notes" / "app.json"
    until(note.exists, "its note on disk")
    trap = "trap(lambda m: m.get('value', m) is None and 'app/' in m['name'])"
    with trapped(host, trap):
        code, output = end_of(host.begin("delete", "app"))
    assert code == 0, output
    assert host.json("list")["apps"] == []
    assert not note.exists()


@pytest.mark.parametrize("late", [False, True], ids=["unheard", "heard"])
def test_a_permit_is_asked_for_again(host: Host, late: bool) -> None:
    """The client that follows the reload hears the question, and answers in time."""
    host.start("app", GOOD, port=free_port())
    heard: list[str] = []
    client = Client(str(host.home))

    def hear(event: dict[str, Any]) -> None:
        heard.append(event["step"])
        if event["step"] == "permit":
            if late and heard.count("permit") == 1:
                os.kill(host.supervisor_pid(), signal.SIGKILL)
                return
            client.request("permit", app="app", refused="", until=None)

    trap = "trap(lambda m: m['op'] == 'note' and 'may it still' in repr(m))"
    with contextlib.nullcontext() if late else trapped(host, trap):
        report = client.request("reload", app="app", permit=True, on_event=hear)
    assert report["outcome"] == "done", report
    assert heard.count("permit") == (2 if late else 1)
    assert heard.count("starting") == 1, "what was told is not told twice"


def test_a_permit_that_was_given_is_given_again(host: Host) -> None:
    """The supervisor died before it had said so, and after it had switched."""
    host.start("app", GOOD, port=free_port())
    client = Client(str(host.home))
    answers = []

    def hear(event: dict[str, Any]) -> None:
        if event["step"] == "permit":
            answers.append(client.request("permit", app="app", refused="", until=None))

    trap = "trap(lambda m: m['op'] == 'note' and 'watched for' in repr(m))"
    with trapped(host, trap):
        report = client.request("reload", app="app", permit=True, on_event=hear)
    assert report["outcome"] == "done", report
    assert answers == [{"permitted": True}]


def test_a_supervisor_that_dies_while_it_starts_is_started_again(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A waiting command tries again, and the release arrives."""
    host.start("app", GOOD, port=free_port())
    plain = interpreter.python
    deaths: list[str] = []

    def python(module: str, arguments: list[str]) -> list[str]:
        if len(deaths) == 2:
            return list(plain(module, arguments))
        deaths.append(module)
        return [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]

    monkeypatch.setattr(interpreter, "python", python)

    def hear(event: dict[str, Any]) -> None:
        if event["step"] == "switched" and not deaths:
            os.kill(host.supervisor_pid(), signal.SIGKILL)

    report = Client(str(host.home)).request("reload", app="app", on_event=hear)
    assert (report["outcome"], len(deaths)) == ("done", 2)


# --- a trial of interception that failed --------------------------------------------------


def test_interception_that_failed_once_is_tried_again(host: Host) -> None:
    """The next launch tries it, and releases go on."""
    port = free_port()
    trap = """
from gapless.keeper.seccomp import trial
plain = trial.why_unavailable
def once():
    trial.why_unavailable = plain
    return "the machine was busy"
trial.why_unavailable = once
trap(lambda m: m['op'] == 'end', late=False)
"""
    with trapped(host, trap):
        host.start_supervisor()
        before = host.json("list")["supervisor"]["mechanisms"]
        host.start("app", GOOD, port=port)
        host.declare("app", GOOD, port=port, release="2")
        host.ok("reload", "app")
        after = host.json("list")["supervisor"]["mechanisms"]
        host.ok("shutdown")
    assert before["interception"] == "the machine was busy"
    assert after["interception"] is True


# --- files ------------------------------------------------------------------------


def test_notes_are_on_disk_too(host: Host) -> None:
    """When both processes are gone, no number is used twice."""
    host.start("app", GOOD, port=free_port())
    host.ok("restart", "app")
    (pid,) = host.app("app")["pids"]
    path = host.home / "notes" / "app.json"

    def noted() -> list[dict[str, Any]]:
        note = json.loads(path.read_text()) if path.exists() else {"app": {}}
        return list(note["app"].get("generations", ()))

    until(lambda: len(noted()) == 1 and str(pid) in str(noted()), "its note on disk")
    note = json.loads(path.read_text())
    (generation,) = note["app"]["generations"]
    (instance,) = generation["instances"]
    assert (note["version"], instance["pid"]) == (1, pid)
    assert instance["incarnation"] == note["incarnation"]
    last = note["app"]["last_serial"]
    for number in (*reversed(host.own_pids()), pid):
        os.kill(number, signal.SIGKILL)
    state = json.loads((host.home / "state.json").read_text())
    state["apps"]["app"]["last_generation"] = 0
    (host.home / "state.json").write_text(json.dumps(state))
    host.start_supervisor()
    until(lambda: host.status("app") == "online", "online")
    (pid,) = host.app("app")["pids"]
    until(lambda: f'"pid": {pid}' in path.read_text(), "its new note")
    note = json.loads(path.read_text())
    assert note["app"]["last_serial"] == last + 1
    assert note["app"]["last_generation"] == 3


def test_half_written_files_of_a_dead_supervisor_are_removed(host: Host) -> None:
    """The next one removes them, and nothing else."""
    host.start("app", GOOD, port=free_port())
    until((host.home / "notes" / "app.json").exists, "its note on disk")
    before = set(host.home.rglob("*"))
    half = [
        host.home / "state.json.4711.part",
        host.home / "supervisor.sock.4711",
        host.home / "reports" / "app" / "start-1.json.4711.part",
        host.home / "notes" / "app.json.4711.part",
    ]
    os.kill(host.supervisor_pid(), signal.SIGKILL)
    for path in half:
        path.write_text("{")
    assert host.status("app") == "online"
    assert set(host.home.rglob("*")) == before
