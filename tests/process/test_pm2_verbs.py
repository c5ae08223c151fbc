"""PM2's verbs with their options, as scripts that call `pm2` type them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from rig.hosts.host import Host
from rig.wait import free_port, until

NEEDS = "if (!require('fs').existsSync('dep')) throw new Error('no dependency')"
IDLE = "setInterval(() => {}, 1000); console.log(process.argv.slice(2).join())"


@pytest.fixture
def pm2(host: Host) -> Host:
    """Return a host with two scripts."""
    for name in ("a.js", "b.js"):
        (host.directory / name).write_text(IDLE)
    return host


def listed(host: Host) -> dict[str, dict[str, Any]]:
    """Return `pm2 jlist`, by name; of several instances the last."""
    rows = json.loads(host.ok("pm2", "jlist"))
    return {row["name"]: row for row in rows}


def test_options_change_what_is_known(pm2: Host) -> None:
    """By `restart`, `reload` and `start`; what was said before stays."""
    pm2.ok("pm2", "start", "a.js", "b.js", "--min-uptime", "100", "--", "x")
    assert listed(pm2)["b"]["pm2_env"]["args"] == ["x"]
    pm2.ok("pm2", "--parallel=2", "restart", "a.js", "--max-memory-restart", "200M")
    pm2.ok("pm2", "reload", "a", "-i", "2", "--node-args", "--trace-warnings")
    pm2.ok("pm2", "start", "a", "--kill-timeout", "900", "--cron-restart", "0 3 * * *")
    spec = pm2.json("describe", "a")["spec"]
    assert spec["renew"]["memory_bytes"] == 200 << 20
    assert spec["renew"]["cron"] == "0 3 * * *"
    assert spec["stop"]["kill_timeout_s"] == 0.9
    assert spec["command"][1:] == ["--trace-warnings", "a.js", "x"]
    row = listed(pm2)["a"]["pm2_env"]
    assert (row["restart_time"], row["node_args"]) == (3, ["--trace-warnings"])
    assert row["pm_exec_path"] == str(pm2.directory / "a.js")
    assert (row["instances"], row["username"]) == (2, "root")
    assert row["PATH"] == os.environ["PATH"]
    again = pm2.gapless("pm2", "start", "a.js")
    assert (again.returncode, "runs already" in again.stderr) == (1, True)
    shown = pm2.ok("pm2", "prettylist")
    assert shown.count("status: 'online'") == 3
    assert "restart_time: 3," in shown
    pm2.ok("pm2", "reload", "a", "--node-args=null", "--min-uptime", "100")
    assert "node_args" not in listed(pm2)["a"]["pm2_env"]


def test_several_apps_have_one_name_and_an_app_another(pm2: Host) -> None:
    """By -f, by a file and by --name: PM2's words are about all, gapless's about one."""
    quick = ("--min-uptime", "100")
    declared = [{"name": "c", "script": "b.js", "min_uptime": 100}] * 2
    (pm2.directory / "two.json").write_text(json.dumps(declared))
    assert "so it is c-2" in pm2.gapless("pm2", "start", "two.json").stderr
    pm2.ok("pm2", "start", "a.js", *quick)
    pm2.ok("pm2", "start", "a.js", "-f", *quick)

    def rows() -> list[tuple[str, str, str]]:
        found = json.loads(pm2.ok("pm2", "jlist"))
        return [
            (r["pm2_env"]["gapless_app"], r["name"], r["pm2_env"]["status"])
            for r in found
        ]

    assert [(app, name) for app, name, _ in rows()] == [
        ("c", "c"),
        ("c-2", "c"),
        ("a", "a"),
        ("a-2", "a"),
    ]
    pm2.ok("pm2", "stop", "a")
    assert [status for *_, status in rows()] == ["online"] * 2 + ["stopped"] * 2
    pm2.ok("start", "a")
    assert rows()[2:] == [("a", "a", "online"), ("a-2", "a", "stopped")]
    refused = pm2.gapless("pm2", "scale", "c", "2")
    assert (refused.returncode, "c, c-2" in refused.stderr) == (1, True)
    pm2.ok("pm2", "restart", "a-2", "--name", "new")
    pm2.ok("pm2", "restart", "new")
    assert rows()[3] == ("a-2", "new", "online")
    assert "a-2 (new)" in pm2.ok("list")
    (pid,) = pm2.app("a-2")["pids"]
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert {b"name=new", b"GAPLESS_APP=a-2"} <= set(environment)
    pm2.ok("pm2", "start", "two.json")
    assert [name for _, name, _ in rows()] == ["c", "c", "a", "new"]
    wrong = pm2.gapless("pm2", "restart", "new", "--name", "x/y")
    assert (wrong.returncode, "cannot name" in wrong.stderr) == (1, True)
    wrong = pm2.gapless("pm2", "restart", "two.json", "--name", "x")
    assert "names its apps itself" in wrong.stderr


def test_a_home_of_pm2_is_a_place_apart(pm2: Host, tmp_path: Path) -> None:
    """What is done there touches nothing else; `kill` forgets, and ids begin again."""
    pm2.ok("pm2", "start", "a.js", "--min-uptime", "100")
    pm2.environment["PM2_HOME"] = str(tmp_path / "ci")
    pm2.ok("pm2", "start", "b.js", "--min-uptime", "100")
    assert set(listed(pm2)) == {"b"}
    log = tmp_path / "ci/logs/b-out.log"
    until(log.exists, "the log is where PM2 has it")
    pm2.ok("pm2", "delete", "all")
    pm2.ok("pm2", "start", "b.js", "a.js", "--min-uptime", "100")
    pm2.ok("pm2", "kill")
    pm2.ok("pm2", "start", "a.js", "--min-uptime", "100")
    assert [row["pm_id"] for row in listed(pm2).values()] == [0]
    pm2.ok("pm2", "save")
    pm2.ok("pm2", "delete", "a.js")
    empty = pm2.gapless("pm2", "save")
    assert (empty.returncode, "--force" in empty.stderr) == (1, True)
    pm2.ok("pm2", "resurrect")
    assert listed(pm2)["a"]["pm2_env"]["status"] == "online"
    pm2.ok("pm2", "save")
    pm2.ok("pm2", "kill")
    (tmp_path / "ci/dump.pm2").write_text("[{")
    assert "the list before" in pm2.gapless("pm2", "resurrect").stderr
    assert listed(pm2)["a"]["pm2_env"]["status"] == "online"
    pm2.ok("pm2", "kill")
    del pm2.environment["PM2_HOME"]
    assert listed(pm2)["a"]["pm2_env"]["status"] == "online"


def test_settings_are_kept(pm2: Host) -> None:
    """For scripts that read them again; each time it is said that nothing else does."""
    done = pm2.gapless("pm2", "set", "pm2-logrotate:max_size", "10M")
    assert (done.returncode, "rotated by gapless itself" in done.stderr) == (0, True)
    pm2.ok("pm2", "multiset", "key 1 web.port 2")
    assert pm2.ok("pm2", "get", "pm2-logrotate:max_size") == "10M\n"
    assert pm2.ok("pm2", "conf", "web") == "web:port 2\n"
    assert len(pm2.ok("pm2", "get").splitlines()) == 3
    pm2.ok("pm2", "unset", "web:port")
    assert pm2.gapless("pm2", "get", "web").returncode == 1
    pm2.ok("pm2", "unset", "all")
    assert json.loads((pm2.home / "module_conf.json").read_text()) == {}
    assert pm2.gapless("pm2", "set").returncode == 1


def test_logs_lists_and_the_debugger(pm2: Host) -> None:
    """Options of `logs` and `list`; the debugger is opened, and left at a reload."""
    text = "setInterval(() => console.log('tick'), 50); console.error('bad');"
    (pm2.directory / "a.js").write_text(text)
    pm2.ok("pm2", "start", "a.js", "b.js", "--min-uptime", "100")
    logs = [pm2.home / "logs" / f"a-{stream}.log" for stream in ("out", "error")]
    until(lambda: all(each.exists() and each.read_text() for each in logs), "its words")
    errors = pm2.ok("pm2", "logs", "a", "--nostream", "--err", "--lines", "5")
    assert errors == "bad\n"
    shown = pm2.ok("pm2", "logs", "a", "--nostream", "--json", "--lines", "2")
    rows = [json.loads(line) for line in shown.splitlines()]
    assert {(r["type"], r["message"]) for r in rows} == {
        ("out", "tick"),
        ("err", "bad"),
    }
    following = pm2.begin("pm2", "logs", "a", "--timestamp", "YYYY", "--lines", "0")
    assert following.stdout is not None
    while not (line := following.stdout.readline()).endswith("tick\n"):
        pass
    following.kill()
    following.communicate()
    assert line[:4].isdigit()
    order = [
        line.split()[1]
        for line in pm2.ok("pm2", "ls", "--sort=name:desc").split("\n")[1:3]
    ]
    assert order == ["b", "a"]
    assert "no order" in pm2.gapless("pm2", "ls", "--sort=nonsense").stderr
    opened = pm2.ok("pm2", "inspect", "b")
    assert "127.0.0.1:9229" in opened
    until(lambda: "127.0.0.1:9229" in pm2.app("b")["addresses"], "the debugger is seen")
    pm2.ok("pm2", "reload", "b")
    pm2.ok("start", "sleep", "--name", "sleeper", "--", "1000")
    refused = pm2.gapless("pm2", "inspect", "sleeper")
    assert (refused.returncode, "is not Node" in refused.stderr) == (1, True)
    assert pm2.status("sleeper") == "online"


def test_every_verb_of_pm2_is_answered(pm2: Host) -> None:
    """With what it does here, or with what to type in its place."""
    said = pm2.gapless("pm2", "monit")
    assert (said.returncode, "gapless top" in said.stderr) == (1, True)
    for verb in ("install", "link", "send", "monitor", "attach"):
        found = pm2.gapless("pm2", verb, "x")
        assert found.returncode == 1, verb
        assert "hint: " in found.stderr, verb
    wrong = pm2.gapless("pm2", "strat", "a.js")
    assert (wrong.returncode, "no verb 'strat'" in wrong.stderr) == (1, True)
    assert "nothing to do" in pm2.ok("pm2", "install", "pm2-logrotate")
    pm2.ok("pm2", "init")
    text = (pm2.directory / "ecosystem.config.js").read_text()
    assert "is there already" in pm2.gapless("pm2", "init").stderr
    assert (pm2.directory / "ecosystem.config.js").read_text() == text
    for verb in ("startup", "unstartup"):
        found = pm2.gapless("pm2", verb, "upstart", "-u", "web")
        assert found.returncode == 1
        assert "su - web -c 'gapless supervise'" in found.stderr


def test_update_replaces_what_runs(pm2: Host) -> None:
    """The apps serve on, and their counts begin anew."""
    pm2.ok("pm2", "start", "a.js", "--min-uptime", "100")
    pm2.ok("pm2", "restart", "a")
    before, pids = pm2.json("list")["supervisor"]["pid"], pm2.app("a")["pids"]
    assert int((pm2.home / "pm2.pid").read_text()) == before
    assert f"(pid {before} -> " in pm2.ok("pm2", "updatePM2")
    assert listed(pm2)["a"]["pm2_env"]["restart_time"] == 0
    after = pm2.json("list")["supervisor"]["pid"]
    assert pm2.app("a")["pids"] == pids
    assert int((pm2.home / "pm2.pid").read_text()) == after
    pm2.ok("pm2", "kill")
    until(lambda: (pm2.home / "pm2.pid").read_text() == "", "no pid is left")


def test_scale_keeps_the_newest_ids(pm2: Host) -> None:
    """As PM2 does; one that fails changes none, and new instances have new ones."""
    serve = "require('http').createServer((q, r) => r.end()).listen(process.env.PORT)"
    (pm2.directory / "a.js").write_text(f"{NEEDS};{serve}")
    (pm2.directory / "dep").touch()
    pm2.environment["PORT"] = str(free_port())
    pm2.ok("pm2", "start", "a.js", "-i", "4")

    def ids() -> list[int]:
        return [row["pm_id"] for row in json.loads(pm2.ok("pm2", "jlist"))]

    assert ids() == [0, 1, 2, 3]
    pm2.ok("pm2", "scale", "a", "2")
    assert ids() == [2, 3]
    pm2.ok("pm2", "scale", "a", "+1")
    assert ids() == [2, 3, 4]
    (pm2.directory / "dep").unlink()
    assert pm2.gapless("pm2", "scale", "a", "1").returncode == 1
    assert ids() == [2, 3, 4]
    (pm2.directory / "dep").touch()
    pm2.ok("pm2", "scale", "a", "1")
    assert ids() == [4]
