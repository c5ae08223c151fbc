"""Start, stop, scale, restart, crash, inspect: no accepted request is cut."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from rig.hosts.host import (
    APPS,
    GAPLESS,
    Host,
)
from rig.load import engine
from rig.load.process import run_load
from rig.wait import free_port, until

GOOD = ["node", "app.js"]
SLOW = engine.Traffic(kind="slow", concurrency=3, path="/slow?s=0.4")


def test_scaling_up_and_down_under_load_loses_nothing(host: Host) -> None:
    """From 4 to 1 to 4 instances: fewer instances is a handoff."""
    port = free_port()
    host.start("app", GOOD, port=port, more="instances = 4")
    with run_load(port, engine.NEW, engine.POST, SLOW) as under_load:
        for count in (1, 4):
            under_load.wait_for(30)
            host.ok("scale", "app", count)
            assert host.app("app")["instances"] == {"ready": count, "wanted": count}
        under_load.wait_for(30)
        report = under_load.stop()
    assert report.lost == 0, str(report)


def test_stop_cuts_no_accepted_request(host: Host) -> None:
    """Accepted requests are answered; later connections are refused, not cut."""
    port = free_port()
    host.start("app", GOOD, port=port)
    with run_load(port, SLOW) as under_load:
        until(
            lambda: host.app("app")["instances_detail"][0]["busy"] == 3, "3 in flight"
        )
        host.ok("stop", "app")
        report = under_load.stop()
    assert set(report.fates) <= {"answered", "refused"}, str(report)
    assert report.fates["answered"] >= 3
    assert host.status("app") == "stopped"
    host.ok("start", "app")
    assert host.status("app") == "online"


def test_restart_under_load_loses_nothing(host: Host) -> None:
    """A restart is a handoff too."""
    port = free_port()
    host.start("app", GOOD, port=port)
    with run_load(port, engine.NEW, engine.POST) as under_load:
        for _ in range(2):
            under_load.wait_for(30)
            host.ok("restart", "app")
        report = under_load.stop()
    assert report.lost == 0, str(report)


def test_reload_of_a_file_starts_what_does_not_run(host: Host) -> None:
    """One word after each change of the file, and after another file took its place."""

    def write(directory: str, said: str, *names: str) -> str:
        file = host.directory / directory / "gapless.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(
            "".join(
                f'[app.{each}]\ncommand = ["sleep", "600"]\nrestart.min_uptime_s = 0\n'
                f"min_healthy_s = 0\nenvironment = {{ SAID = '{said}' }}\n"
                for each in names
            )
        )
        return str(file)

    def generations() -> dict[str, int]:
        return {r["name"]: r["generation"] for r in host.json("list")["apps"]}

    def said(name: str) -> str:
        described = host.json("describe", name)
        return str(described["spec"]["environment"]["SAID"])

    host.ok("reload", write("first", "a", "one"))
    assert generations() == {"one": 1}
    host.ok("reload", write("first", "b", "one", "two"))
    assert generations() == {"one": 2, "two": 1}
    host.ok("stop", "two")
    host.ok("reload", write("second", "c", "one", "two"))
    assert generations() == {"one": 3, "two": 2}
    assert (said("one"), said("two")) == ("c", "c")
    host.ok("reload", "one")
    assert said("one") == "c"
    done = host.gapless("reload", write("second", "d", "one"), "--env", "staging")
    assert done.returncode == 2
    assert "one environment" in done.stderr


def test_a_third_generation_may_start_while_the_second_drains(host: Host) -> None:
    """A long request holds its generation, not the next release."""
    port = free_port()
    host.start("app", GOOD, port=port)
    long = engine.Traffic(kind="long", concurrency=2, path="/slow?s=3")
    with run_load(port, engine.NEW, long) as under_load:
        until(lambda: host.app("app")["instances_detail"][0]["busy"] >= 2, "in flight")
        commands = []
        for release in ("2", "3"):
            host.declare("app", GOOD, port=port, release=release)
            commands.append(host.begin("reload", "app", "--json"))
            under_load.wait_for_version(release)
            until(lambda: _roles(host).count("standby") == 0, "proven")
        reports = [
            json.loads(command.communicate(timeout=60)[0]) for command in commands
        ]
        report = under_load.stop()
    assert reports[1]["outcome"] == "done"
    assert report.lost == 0, str(report)


def _roles(host: Host) -> list[str]:
    return [g["role"] for g in host.app("app")["generations"]]


def test_connections_that_wait_in_the_accept_queue_are_served(host: Host) -> None:
    """64 of them, sent to a program that is slow to accept, survive a handoff."""
    port = free_port()
    host.start("app", ["perl", "app.pl"], port=port)
    clients = []
    try:
        for _ in range(64):
            client = socket.create_connection(("127.0.0.1", port), 10)
            client.sendall(b"GET /slow?s=0.05 HTTP/1.1\r\nHost: x\r\n\r\n")
            clients.append(client)
        host.declare("app", ["perl", "app.pl"], port=port, release="2")
        host.ok("reload", "app")
        answers = [_read_all(client) for client in clients]
    finally:
        for client in clients:
            client.close()
    assert sum(answer.startswith(b"HTTP/1.1 200") for answer in answers) == 64


def _read_all(client: socket.socket) -> bytes:
    client.settimeout(20)
    answer = b""
    while piece := client.recv(65536):
        answer += piece
    client.close()  # the program waits for it before it takes the next one
    return answer


def test_an_app_that_crashes_is_started_again_and_given_up_at_last(host: Host) -> None:
    """`list` shows "gave up" and the reason."""
    script = "require('net').createServer().listen(process.env.PORT); "
    script += "setTimeout(() => process.exit(7), 100)"
    more = "restart = { max = 2, min_uptime_s = 5 }"
    port = free_port()
    host.declare("app", ["node", "-e", script], port=port, release="1", more=more)
    host.gapless("start", "app.toml")
    until(lambda: host.status("app") == "gave up", "given up", 30)
    described = host.app("app")
    assert described["restarts"] == 2
    assert "exited with code 7" in described["reason"]
    assert "gave up" in host.ok("list")


def test_a_crashed_instance_comes_back_and_no_connection_is_refused(host: Host) -> None:
    """The socket outlives the instance: new connections wait in its queue."""
    port = free_port()
    host.start("app", GOOD, port=port)
    pid = host.app("app")["pids"][0]
    with run_load(port, engine.Traffic(kind="new", pause_s=0.05)) as under_load:
        under_load.wait_for(5)
        os.kill(pid, signal.SIGKILL)
        under_load.wait_for(10)
        report = under_load.stop()
    assert report.fates.get("refused", 0) == 0, str(report)
    assert report.lost <= 1, str(report)  # the one that the dead program had accepted
    assert host.app("app")["pids"] != [pid]


def test_an_instance_that_comes_later_leaves_the_others_socket_non_blocking(
    host: Host,
) -> None:
    """Instances share the flags of the socket: a blocking one would hang in accept."""
    script = (
        "import os, select, socket\n"
        "sock = socket.socket()\n"
        "sock.bind(('127.0.0.1', int(os.environ['PORT'])))\n"
        "sock.listen()\n"
        "sock.setblocking(False)\n"
        "print('number', sock.fileno(), flush=True)\n"
        "while True: select.select([sock], [], [], 10)\n"
    )
    port = free_port()
    host.start("app", ["python3", "-c", script], port=port, more="instances = 2")
    until(lambda: host.ok("logs", "app").count("number") == 2, "both listen")
    first, second = host.app("app")["pids"]
    os.kill(second, signal.SIGKILL)
    until(lambda: host.ok("logs", "app").count("number") == 3, "the third listens")
    number = host.ok("logs", "app").rpartition("number ")[2].strip()
    fields = Path(f"/proc/{first}/fdinfo/{number}").read_text().split()
    assert int(fields[fields.index("flags:") + 1], 8) & os.O_NONBLOCK


def test_an_instance_that_need_not_call_listen_is_ready_all_the_same(
    host: Host,
) -> None:
    """Both bind, one listens; the other finds that the socket listens already."""
    port = free_port()
    script = (
        "import os, socket, time\n"
        "own = os.environ['GAPLESS_ORDINAL']\n"
        "other = '10'[int(own)]\n"
        f"mark = '{host.directory}/bound' + os.environ['GAPLESS_GENERATION'] + '-'\n"
        "sock = socket.socket()\n"
        f"sock.bind(('127.0.0.1', {port}))\n"
        "open(mark + own, 'w').close()\n"
        "while not os.path.exists(mark + other): time.sleep(0.01)\n"
        "if own == '0': sock.listen()\n"
        "while not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):\n"
        "    time.sleep(0.01)\n"
        "while True: sock.accept()[0].close()\n"
    )
    host.start("app", ["python3", "-c", script], port=port, more="instances = 2")
    assert "switched" in host.ok("restart", "app")
    assert host.app("app")["instances"] == {"ready": 2, "wanted": 2}


def test_an_app_without_a_port_is_ready_when_it_lives(host: Host) -> None:
    """A reload replaces it."""
    host.configure(
        '[app.ticker]\ncommand = ["sleep", "1000"]\nmin_healthy_s = 0.2\n'
        "restart = { min_uptime_s = 0.3 }\n"
    )
    host.ok("start", "gapless.toml")
    before = host.app("ticker")["pids"]
    host.ok("reload", "ticker")
    after = host.app("ticker")["pids"]
    assert len(after) == 1
    assert after != before


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::", "0.0.0.0"])
def test_every_kind_of_address_is_handed_over(host: Host, address: str) -> None:
    """IPv4, IPv6 and dual-stack."""
    port = free_port()
    target = "::1" if address == "::1" else "127.0.0.1"
    command = ["env", f"HOST={address}", "node", "app.js"]
    host.start("app", command, port=port)
    with run_load(port, engine.NEW, host=target) as under_load:
        under_load.wait_for_version("1")
        host.declare("app", command, port=port, release="2")
        host.ok("reload", "app")
        under_load.wait_for_version("2")
        assert under_load.stop().lost == 0


def test_ipv4_and_ipv6_stand_side_by_side(host: Host) -> None:
    """A program that binds both, IPv6 for itself alone, keeps both over a handoff."""
    port = free_port()
    script = (
        "for (const h of ['0.0.0.0', '::']) require('http').createServer((q, r) =>"
        " r.end('release ' + process.env.RELEASE + ' '))"
        ".listen({port: Number(process.env.PORT), host: h, ipv6Only: true})"
    )
    host.start("app", ["node", "-e", script], port=port)
    until(lambda: len(host.row("app")["addresses"]) == 2, "both addresses")
    with (
        run_load(port, engine.NEW) as four,
        run_load(port, engine.NEW, host="::1") as six,
    ):
        six.wait_for_version("1")
        host.declare("app", ["node", "-e", script], port=port, release="2")
        host.ok("reload", "app")
        four.wait_for_version("2")
        six.wait_for_version("2")
        assert four.stop().lost == 0
        assert six.stop().lost == 0


@pytest.mark.parametrize("way", ["{fd}", "LISTEN_FDS"])
def test_a_program_that_is_handed_a_descriptor_needs_no_filter(
    host: Host, way: str
) -> None:
    """The same socket, by `{fd}` in the command or by LISTEN_FDS."""
    port = free_port()
    number, wrong = "Number(process.argv[1])", "false"
    if way == "LISTEN_FDS":
        number = "Number(process.env.LISTEN_FDS) + 2"
        wrong = "process.env.LISTEN_PID != process.pid"
    script = (
        f"if ({wrong}) process.exit(9); require('http').createServer((q, r) =>"
        f" r.end('release ' + process.env.RELEASE + ' ')).listen({{fd: {number}}})"
    )
    command = ["node", "-e", script, *(["{fd}"] if way == "{fd}" else [])]
    more = f'listen = ["127.0.0.1:{port}"]'
    host.start("app", command, port=port, more=more)
    with run_load(port, engine.NEW) as under_load:
        under_load.wait_for_version("1")
        host.declare("app", command, port=port, release="2", more=more)
        host.ok("reload", "app")
        under_load.wait_for_version("2")
        assert under_load.stop().lost == 0


def test_readiness_by_systemd_notification_and_by_nodes_channel(host: Host) -> None:
    """NOTIFY_SOCKET and the message 'ready' on Node's channel both work."""
    systemd = (
        "import os, socket, time\n"
        "name = os.environ['NOTIFY_SOCKET'].replace('@', chr(0), 1)\n"
        "time.sleep(0.2)\n"
        "line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "line.sendto(b'READY=1\\nSTATUS=warm', name)\n"
        "time.sleep(1000)\n"
    )
    node = "setTimeout(() => process.send('ready'), 200); setInterval(() => 0, 1000)"
    for name, command in {
        "systemd": ["python3", "-c", systemd],
        "node": ["node", "-e", node],
    }.items():
        host.declare(name, command, port=1, release="1", more='ready = "notify"')
        host.ok("start", f"{name}.toml")
        assert host.status(name) == "online"
    assert host.app("systemd")["instances_detail"][0]["status_text"] == "warm"


def test_a_master_and_its_children_end_whole(host: Host) -> None:
    """After handoffs and a stop there is no zombie and no orphan."""
    port = free_port()
    host.start("app", ["perl", "app.pl"], port=port, more="instances = 2")
    until(lambda: host.app("app")["processes"] == 8, "the children of both")
    for _ in range(3):
        host.ok("reload", "app")
    assert host.app("app")["processes"] == 8
    host.ok("delete", "app")
    assert set(host.processes()) == set(host.own_pids()), host.processes()


def test_signals_reach_the_leader_and_logs_show_what_it_said(host: Host) -> None:
    """`signal` reaches the leader, and `logs` prints what it wrote."""
    script = (
        "process.on('SIGHUP', () => console.log('hung up')); setInterval(() => 0, 1000);"
        "console.log('begun')"
    )
    host.declare("app", ["node", "-e", script], port=1, release="1")
    host.ok("start", "app.toml")
    until(lambda: "begun" in host.ok("logs", "app"), "it to listen to signals")
    host.ok("signal", "HUP", "app")
    until(lambda: "hung up" in host.ok("logs", "app"), "the line in the log")


def test_following_a_log_crosses_rotations_without_a_gap(host: Host) -> None:
    """Every line is printed once, in order, while the files are rotated."""
    script = "let n = 0; const five = () => { for (let i = 5; i--;) console.log(n++) }"
    script += "; setInterval(five, 2)"
    more = "log = { rotate_mb = 0.01, keep = 900 }"
    host.declare("app", ["node", "-e", script], port=1, release="1", more=more)
    host.ok("start", "app.toml")
    follow = host.begin("logs", "app", "-f", "-n", "1")
    try:
        assert follow.stdout is not None
        numbers = [
            int(follow.stdout.readline().rpartition("| ")[2]) for _ in range(3000)
        ]
    finally:
        follow.kill()
        follow.communicate()
    assert numbers == list(range(numbers[0], numbers[0] + 3000))
    assert len([*(host.home / "logs").glob("app.log.*")]) >= 3


def test_reload_reads_the_whole_configuration_again(host: Host) -> None:
    """A variable removed from the file is unset in the app; --dry-run shows it before.

    It starts nothing, neither the app nor a supervisor.
    """
    script = (
        "console.log(Object.keys(process.env).filter(n => n.startsWith('T_')).join())"
    )
    script += "; setInterval(() => 0, 1000)"
    text = (
        f"[app.app]\ncommand = {json.dumps(['node', '-e', script])}\nmin_healthy_s = 0.1\n"
        "restart = { min_uptime_s = 0.3 }\n"
    )
    host.configure(text + 'environment = { T_ONE = "1", T_TWO = "2" }\n')
    said = host.ok("reload", "gapless.toml", "--dry-run")
    assert said == "app: does not run, and would be started\n"
    assert not host.processes()
    host.ok("start", "gapless.toml")
    host.configure(
        text + 'environment = { T_TWO = "3", T_THREE = "3" }\ninstances = 2\n'
    )
    said = host.ok("reload", "app", "--dry-run")
    assert "environment.T_ONE removed" in said
    assert "environment.T_THREE added" in said
    assert "instances changed: 1 -> 2" in said
    assert host.app("app")["generation"] == 1
    host.ok("reload", "app")
    until(lambda: "T_TWO,T_THREE" in host.ok("logs", "app"), "the new variables")
    assert host.app("app")["instances"]["ready"] == 2
    host.ok("stop", "app")
    for word in ("app", "gapless.toml"):
        said = host.ok("reload", word, "--dry-run")
        assert said == "app: does not run, and would be started\n"


def test_two_apps_are_reloaded_side_by_side(host: Host) -> None:
    """`reload all` takes as long as one reload."""
    ports = [free_port(), free_port()]
    for name, port in zip(("one", "two"), ports, strict=True):
        host.start(name, GOOD, port=port)
    host.ok("reload", "all")
    assert {host.app(name)["generation"] for name in ("one", "two")} == {2}


def test_what_is_not_there_is_said_at_once_with_code_3(host: Host) -> None:
    """There is no such app, file, directory or program."""
    for words in (
        ("reload", "nobody"),
        ("start", "nowhere.toml"),
        ("start", "./nothing.js"),
        ("logs", "nobody"),
    ):
        done = host.gapless(*words)
        assert done.returncode == 3, (words, done.stderr)
        assert done.stderr.startswith("gapless: ")
    assert host.gapless("strat").returncode == 2


def test_an_unreadable_setting_names_file_line_and_key(host: Host) -> None:
    """All mistakes are printed at once."""
    host.configure(
        '[app.one]\ncommand = "sleep 1"\ninstancs = 2\n\n'
        '[app.two]\ncommand = "sleep 1"\ninstances = "many"\n\n'
        '[app.three]\ncommand = "sleep 1"\nstop = { signal = "SIGNOPE" }\n'
    )
    done = host.gapless("check")
    assert done.returncode == 2
    assert (
        "gapless.toml:3: app.one.instancs: unknown key. did you mean instances?"
        in done.stderr
    )
    assert "gapless.toml:7: app.two.instances" in done.stderr
    assert "found 'many'" in done.stderr
    assert "gapless.toml:11: app.three.stop.signal: there is no signal" in done.stderr


def test_run_uses_the_directory_and_environment_of_the_app(host: Host) -> None:
    """They are those of the app's instances."""
    host.start("app", GOOD, port=free_port(), release="42")
    said = host.ok("run", "app", "--", "sh", "-c", "echo $RELEASE; pwd")
    assert said.split() == ["42", str(APPS)]


def test_doctor_tells_what_works_here(host: Host) -> None:
    """Each mechanism is tried, not guessed."""
    rows = host.json("doctor")
    needed = [row for row in rows if not row.get("optional")]
    assert [row["trouble"] for row in needed] == [None] * len(needed)
    limited = subprocess.run(
        ["bash", "-c", f"ulimit -n 64; exec {GAPLESS} doctor"],
        env=host.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert limited.returncode == 1
    assert "the limit is 64" in limited.stdout
