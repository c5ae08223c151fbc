"""PM2's fields that users rely on, with real processes."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from rig.fixtures.declarations import (
    HTTP,
    Declarations,
    ask,
)
from rig.load import engine
from rig.load.process import run_load
from rig.wait import until

# --- ready --------------------------------------------------------------------------


def test_wait_ready_waits(declared: Declarations) -> None:
    """The app is starting until it sends ready; the command returns then."""
    declared.write("late.js", "setTimeout(() => process.send('ready'), 700)")
    said = declared.start({"script": "late.js", "wait_ready": True})
    found = re.search(r"ready \((\S+) s\)", said)
    assert found is not None, said
    assert float(found[1]) >= 0.7


def test_who_is_never_ready_takes_nothing_away(declared: Declarations) -> None:
    """The old generation serves on; PM2 would end it after listen_timeout: an outage."""
    declared.start(declared.http(wait_ready=True, listen_timeout=30_000))
    declared.write("mute.js", HTTP.replace("process.send('ready')", "0"))
    mute = declared.http(wait_ready=True, listen_timeout=800) | {"script": "mute.js"}
    declared.declare(mute)
    with run_load(declared.port, engine.NEW, engine.KEEP_ALIVE) as under_load:
        under_load.wait_for(50)
        done = declared.host.gapless("reload", "app.json")
        under_load.wait_for(50)
        assert under_load.stop().lost == 0
    assert done.returncode == 1
    assert "did not say that it is ready within 0.8 s" in done.stdout


def test_a_version_that_throws_takes_nothing_away(declared: Declarations) -> None:
    """Exit code 1, and the last lines of its log."""
    declared.start_listening(declared.http(instances=2))
    declared.write("http.js", "throw new Error('broken on purpose')")
    with run_load(declared.port, engine.NEW, engine.KEEP_ALIVE) as under_load:
        under_load.wait_for(50)
        done = declared.host.gapless("reload", "web")
        assert under_load.stop().lost == 0
    assert done.returncode == 1
    assert "broken on purpose" in done.stdout


# --- the end ------------------------------------------------------------------------


def test_shutdown_with_message(declared: Declarations) -> None:
    """The app gets the message on Node's channel, and no signal."""
    declared.write(
        "talks.js",
        "setInterval(() => {}, 1000);"
        "process.on('SIGINT', () => console.log('signal'));"
        "process.on('message', (m) => { console.log('got', m); process.exit(0); });"
        "process.send('ready')",
    )
    app = {"script": "talks.js", "wait_ready": True, "shutdown_with_message": True}
    declared.start(app)
    declared.host.ok("stop", "talks")
    assert declared.log("talks") == "got shutdown\n"


def test_kill_timeout(declared: Declarations) -> None:
    """SIGINT first, SIGKILL after the timeout; the report says that it was killed."""
    declared.write(
        "deaf.js",
        "process.on('SIGINT', () => console.log('no'));"
        "setInterval(() => {}, 1000); process.send('ready')",
    )
    declared.start({"script": "deaf.js", "wait_ready": True, "kill_timeout": 300})
    report = declared.host.json("stop", "deaf")
    assert declared.log("deaf") == "no\n"
    assert declared.host.app("deaf")["exit_code"] == -signal.SIGKILL
    assert 0.3 <= report["steps"][-1]["at_s"] < 5


@pytest.mark.parametrize("treekill", [True, False])
def test_treekill(declared: Declarations, *, treekill: bool) -> None:
    """What the leader started ends after it, or with treekill false lives on."""
    declared.write(
        "parent.js",
        "const child = require('node:child_process').spawn("
        "'sleep', ['60'], {stdio: 'ignore'});"
        "process.on('SIGINT', () => process.exit(0));"
        "console.log(child.pid); process.send('ready'); setInterval(() => {}, 1000)",
    )
    declared.start({"script": "parent.js", "wait_ready": True, "treekill": treekill})
    until(lambda: declared.log("parent"), "the child")
    child = int(declared.log("parent"))
    declared.host.ok("stop", "parent")
    if treekill:
        until(lambda: not os.path.exists(f"/proc/{child}"), "the end of the child")
    else:
        os.kill(child, 0)
        os.kill(child, signal.SIGKILL)


# --- restarts -----------------------------------------------------------------------


def test_stop_exit_codes(declared: Declarations) -> None:
    """The app is stopped, not restarted, and that is no error."""
    declared.write("done.js", "setTimeout(() => process.exit(7), 1300)")
    declared.start({"script": "done.js", "stop_exit_codes": [0, 7]})
    until(lambda: declared.host.status("done") == "stopped", "the end")
    row = declared.host.app("done")
    assert (row["restarts"], row["exit_code"], row["reason"]) == (0, 7, None)


def test_max_restarts_then_errored(declared: Declarations) -> None:
    """After one good life and five short ones the app is given up, with the reason."""
    declared.write(
        "loop.js",
        "const fs = require('node:fs'); fs.appendFileSync('lives', 'x');"
        "setTimeout(() => process.exit(3), fs.statSync('lives').size > 1 ? 10 : 4500)",
    )
    app = {"script": "loop.js", "max_restarts": 5, "restart_delay": 0}
    declared.start(app | {"min_uptime": 4000})
    until(lambda: declared.host.status("loop") == "gave up", "to be given up")
    assert len((declared.host.directory / "lives").read_text()) == 1 + 5
    assert "exited with code 3" in declared.host.app("loop")["reason"]
    (item,) = json.loads(declared.host.ok("jlist"))
    assert item["pm2_env"]["status"] == "errored"


def test_growing_delays(declared: Declarations) -> None:
    """Each pause is half as long again as the one before."""
    declared.write(
        "grow.js",
        "require('node:fs').appendFileSync('at', Date.now() + '\\n'); process.exit(1)",
    )
    app = {"script": "grow.js", "exp_backoff_restart_delay": 200, "min_uptime": 100}
    declared.write("first", "")
    text = (declared.host.directory / "grow.js").read_text()
    guard = (
        "if (!require('node:fs').existsSync('at')) setTimeout(run, 400); else run();"
    )
    declared.write("grow.js", f"function run() {{ {text} }}\n{guard}")
    declared.start(app)
    path = declared.host.directory / "at"
    until(lambda: path.exists() and len(path.read_text().split()) >= 5, "five lives")
    declared.host.ok("stop", "grow")
    at = [int(word) for word in path.read_text().split()]
    pauses = [behind - before for before, behind in pairwise(at[:5])]
    for pause, least in zip(pauses, (200, 300, 450, 675), strict=True):
        assert pause >= least


def test_autostart_false_is_known_and_stopped(declared: Declarations) -> None:
    """It stays stopped until it is started by hand."""
    said = declared.start(declared.http(autostart=False))
    assert "listed, and not started" in said
    assert declared.host.status("web") == "stopped"
    declared.host.ok("start", "web")
    assert declared.host.status("web") == "online"


# --- what renews --------------------------------------------------------------------


def renewed(declared: Declarations, cause: str) -> None:
    """Wait until a renewal with this cause is done."""

    def fact() -> bool:
        report = declared.host.app("web")["last_report"]
        return bool(
            report["outcome"] == "done"
            and cause in str(report["steps"][0]["detail"])
            and declared.host.status("web") == "online"
        )

    until(fact, f"the renewal: {cause}", 60)


RENEWALS: list[tuple[dict[str, Any], str, Callable[[Declarations], object]]] = [
    ({"max_memory_restart": "120M"}, "MiB of memory", lambda d: ask(d.port, "/grow")),
    ({"cron_restart": "*/4 * * * * *"}, "by the clock", lambda _: None),
    (
        {"watch": ["http.js"], "watch_delay": 100},
        "http.js changed",
        lambda d: d.write("http.js", HTTP),
    ),
]


@pytest.mark.parametrize(("field", "cause", "act"), RENEWALS)
def test_renewals_are_handoffs(
    declared: Declarations,
    field: dict[str, Any],
    cause: str,
    act: Callable[[Declarations], object],
) -> None:
    """Renewals by memory, by the clock and by a changed file lose nothing under load."""
    declared.start_listening(declared.http(instances=2, **field))
    with run_load(declared.port, engine.NEW, engine.KEEP_ALIVE) as under_load:
        under_load.wait_for(50)
        act(declared)
        renewed(declared, cause)
        assert under_load.stop().lost == 0
    assert declared.host.app("web")["generation"] >= 2


def test_what_gapless_writes_is_no_reason_for_a_renewal(declared: Declarations) -> None:
    """With logs and pid files in a watched directory, one change is one renewal."""
    host = declared.host
    watched = declared.http(watch=True, out_file="o.log", pid_file="web.pid")
    declared.start(watched)
    for generation in (2, 3):
        declared.write("http.js", HTTP)
        until(
            lambda generation=generation: host.row("web")["generation"] >= generation,  # type: ignore[misc]  # a lambda in a loop
            "the renewal",
        )
        until(lambda: host.status("web") == "online", "its end")
    (identity,) = host.app("web")["ids"]
    assert (host.directory / f"web-{identity}.pid").exists()
    log = (host.home / "logs" / "gapless.log").read_text()
    assert log.count('"event": "renewing"') == 2


def test_a_job_runs_by_the_clock(declared: Declarations) -> None:
    """cron_restart with autorestart off; an app stopped by hand stays stopped."""
    declared.write("job.js", "require('node:fs').appendFileSync('runs', 'x')")
    declared.start(
        {"script": "job.js", "autorestart": False, "cron_restart": "*/2 * * * * *"}
    )
    runs = declared.host.directory / "runs"
    until(lambda: len(runs.read_text()) >= 3, "three runs")
    declared.host.ok("stop", "job")
    before = len(runs.read_text())
    # A run later than the stop would be two seconds away: three clock ticks of another.
    declared.declare({"name": "other", "script": "job.js", "autorestart": False})
    declared.host.ok("start", "app.json")
    assert len(runs.read_text()) == before + 1


# --- logs ---------------------------------------------------------------------------


def test_logs_are_where_and_as_they_were_declared(declared: Declarations) -> None:
    """By instance or merged, with a date, both streams in one file, as JSON, or none."""
    declared.write(
        "talk.js",
        "console.log('to out'); console.error('to err'); setInterval(() => {}, 1000);"
        "process.send('ready')",
    )
    app = {"script": "talk.js", "wait_ready": True}
    declared.start(
        app | {"name": "dated", "log_date_format": "YY-MM-DD HH:mm:ss"},
        app | {"name": "two", "instances": 2, "log_file": "both.log"},
        app | {"name": "merged", "instances": 2, "merge_logs": True},
        app | {"name": "objects", "log_type": "json"},
        app | {"name": "own", "out_file": "logs/deep/o.log", "error_file": "NULL"},
    )
    logs = declared.host.home / "logs"
    two = declared.host.app("two")["ids"]

    def written() -> bool:
        return all(
            path.exists() and path.read_text()
            for path in (
                logs / "dated-out.log",
                *(logs / f"two-out-{identity}.log" for identity in two),
                logs / "objects-error.log",
                declared.host.directory / "logs/deep/o.log",
            )
        )

    until(written, "the logs")
    assert _matches(r"\d\d-\d\d-\d\d \d\d:\d\d:\d\d: to out\n", declared.log("dated"))
    for identity in two:
        assert (logs / f"two-out-{identity}.log").read_text() == "to out\n"
        assert (logs / f"two-error-{identity}.log").read_text() == "to err\n"
        both = (declared.host.directory / f"both-{identity}.log").read_text()
        assert sorted(both.split("\n")) == ["", "to err", "to out"]
    assert declared.log("merged") == "to out\nto out\n"
    line = json.loads(declared.log("objects", "error"))
    (identity,) = declared.host.app("objects")["ids"]
    assert {name: line[name] for name in line if name != "timestamp"} == {
        "message": "to err",
        "type": "err",
        "process_id": identity,
        "app_name": "objects",
    }
    assert not (logs / "own-error.log").exists()
    declared.host.ok("flush", "merged")
    assert declared.log("merged") == ""


def _matches(pattern: str, text: str) -> bool:
    import re

    return re.fullmatch(pattern, text) is not None


# --- variables ----------------------------------------------------------------------


def test_variables_of_instances(declared: Declarations) -> None:
    """instance_var, increment_var, and PM2's own variables, in fork and cluster mode."""
    names = ["NODE_APP_INSTANCE", "ID", "PORT", "name", "namespace", "pm_id", "LIST"]
    declared.write(
        "vars.js",
        f"console.log(JSON.stringify({names}.map((n) => process.env[n])));"
        "setInterval(() => {}, 1000); process.send('ready')",
    )
    for mode in ("fork", "cluster"):
        declared.start(
            {
                "name": mode,
                "script": "vars.js",
                "wait_ready": True,
                "exec_mode": mode,
                "instances": 2,
                "merge_logs": True,
                "instance_var": "ID",
                "increment_var": "PORT",
                "env": {"PORT": 3000, "LIST": [1, {"a": "b"}]},
            }
        )
        until(lambda mode=mode: declared.log(mode).count("\n") == 2, "both")  # type: ignore[misc]  # a lambda in a loop
        ids = declared.host.app(mode)["ids"]
        found = sorted(json.loads(line) for line in declared.log(mode).splitlines())
        assert found == [
            [
                str(n),
                str(n),
                str(3000 + n),
                mode,
                "default",
                str(ids[n]),
                '[1,{"a":"b"}]',
            ]
            for n in range(2)
        ]


def test_env_is_remembered_switched_and_forgotten(declared: Declarations) -> None:
    """--env is kept; a removed key is unset; --update-env takes the whole environment."""
    app = declared.http(env={"A": "1"}, env_production={"A": "2", "B": "2"})
    declared.declare(app)
    host = declared.host
    host.ok("start", "app.json", "--env", "production", environment={"SHELL_VAR": "1"})

    def env() -> dict[str, str]:
        found = host.json("env", "web")
        return {name: found[name] for name in ("A", "B", "SHELL_VAR") if name in found}

    assert env() == {"A": "2", "B": "2", "SHELL_VAR": "1"}
    host.ok("reload", "app.json", environment={"SHELL_VAR": "2"})
    assert env() == {"A": "2", "B": "2", "SHELL_VAR": "1"}
    host.ok("reload", "web", "--update-env", environment={"SHELL_VAR": "2"})
    assert env() == {"A": "2", "B": "2", "SHELL_VAR": "2"}
    host.ok("reload", "app.json", "--env", "")
    assert env() == {"A": "1", "SHELL_VAR": "2"}
    del app["env"]["A"]
    declared.declare(app)
    host.ok("reload", "web")
    assert env() == {"SHELL_VAR": "2"}
