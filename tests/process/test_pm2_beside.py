"""One declaration under the real PM2 and under gapless: the same, or a known difference.

Intended differences are in docs/pm2.md, under "What is better, and may surprise".
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rig import wait
from rig.hosts.host import GAPLESS, ROOT
from rig.matrix import matrix

PM2 = ROOT / "node" / "gapless-drain" / "node_modules" / ".bin" / "pm2"
PROGRAM = """
const names = ['A', 'B', 'C', 'NODE_APP_INSTANCE', 'ID', 'N', 'name', 'namespace', 'pm_id'];
console.log(JSON.stringify({
  args: process.argv.slice(2),
  options: process.execArgv,
  cwd: process.cwd(), script: __filename,
  env: Object.fromEntries(names.map((n) => [n, process.env[n]])),
}));
console.error('to err');
process.on('SIGINT', () => { console.log('SIGINT'); process.exit(0); });
process.on('message', (m) => { console.log('message ' + m); process.exit(0); });
setInterval(() => {}, 1000);
if (process.send) process.send('ready');
"""


class Peer:
    """PM2 or gapless, with a home and a directory of its own."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name, self.directory = name, directory
        self.home = directory / "home"
        directory.mkdir()
        home = "PM2_HOME" if name == "pm2" else "GAPLESS_HOME"
        command = [str(PM2)] if name == "pm2" else [str(GAPLESS), "pm2"]
        self.command = command
        self.environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("GAPLESS", "PM2"))
        } | {home: str(self.home), "PWD": str(directory)}
        (directory / "app.js").write_text(PROGRAM)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a PM2 command."""
        return subprocess.run(
            [*self.command, *words],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def start(self, *apps: dict[str, Any], options: tuple[str, ...] = ()) -> None:
        """Start a file with these apps, which all become ready."""
        self.declare(*apps)
        done = self.run("start", "app.json", *options)
        assert done.returncode == 0, f"{self.name}: {done.stdout}{done.stderr}"

    def declare(self, *apps: dict[str, Any]) -> None:
        """Write a file with these apps."""
        (self.directory / "app.json").write_text(json.dumps({"apps": apps}))

    def items(self) -> list[dict[str, Any]]:
        """Return the items of `jlist`."""
        said = self.run("jlist").stdout
        found: list[dict[str, Any]] = json.loads(said[said.index("[{") :])
        return sorted(found, key=lambda item: item["pm_id"])

    def shown(self) -> list[dict[str, Any]]:
        """Return the keys that tools read, with paths relative to the homes."""
        keys = "name namespace exec_mode status pm_exec_path pm_cwd autorestart"
        found = []
        for item in self.items():
            paths = {
                key: self._plain(item["pm2_env"][key]).replace(
                    f"-{item['pm_id']}.", "-ID."
                )
                for key in ("pm_out_log_path", "pm_err_log_path", "pm_pid_path")
            }
            shown = {key: self._plain(item["pm2_env"][key]) for key in keys.split()}
            found.append(paths | shown)
        # PM2 numbers the further instances of an app after all apps.
        return sorted(found, key=lambda each: str(each["name"]))

    def _plain(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return value.replace(str(self.home), "HOME").replace(
            str(self.directory), "HERE"
        )

    def read(self, path: str) -> str:
        """Return the content of a file, once it has some."""
        place = Path(path.replace("HOME", str(self.home)))
        place = self.directory / place
        wait.until(lambda: place.exists() and place.read_text(), f"{self.name}: {path}")
        return self._plain(place.read_text())  # type: ignore[no-any-return]  # it is a text

    def close(self) -> None:
        """End every app and the daemon."""
        self.run("kill")


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[tuple[Peer, Peer]]:
    """Return PM2 and gapless."""
    both = (Peer("pm2", tmp_path / "pm2"), Peer("gapless", tmp_path / "gapless"))
    try:
        yield both
    finally:
        for peer in both:
            peer.close()


def test_what_a_program_is_given(peers: tuple[Peer, Peer]) -> None:
    """Arguments, options, directory, variables, numbers of instances, in both modes."""
    said = []
    for peer in peers:
        app = {
            "script": "app.js",
            "args": "one 'two words' --three=3",
            "node_args": "--no-warnings",
            "env": {"A": 1, "B": {"x": [True]}, "N": 40},
            "env_production": {"A": 2, "C": "c"},
            "instance_var": "ID",
            "increment_var": "N",
            "instances": 2,
            "merge_logs": True,
            "namespace": "web",
        }
        names = ("cluster", "fork")
        apps = [app | {"name": mode, "exec_mode": mode} for mode in names]
        peer.start(*apps, options=("--env", "production"))
        found = []
        for mode in names:
            path = f"HOME/logs/{mode}-out.log"

            def both(path: str = path, peer: Peer = peer) -> str:
                text = peer.read(path)
                return text if text.count("\n") == 2 else ""

            lines = [json.loads(line) for line in wait.until(both, path).splitlines()]
            for line in lines:
                # Where instance_var renames it, PM2 gives cluster mode only the new name.
                line["env"].pop("NODE_APP_INSTANCE", None)
                line["script"] = os.path.basename(line["script"])
                line["options"] = [o for o in line["options"] if "warnings" in o]
            # PM2 numbers the further instances of an app after all apps.
            assert len({line["env"].pop("pm_id") for line in lines}) == 2
            found += sorted(lines, key=lambda line: int(line["env"]["ID"]))
        said.append(found)
    assert said[1] == said[0]


@pytest.mark.soak
def test_files_ids_and_what_jlist_says(peers: tuple[Peer, Peer]) -> None:
    """Log and pid paths for each way to declare them."""
    for peer in peers:
        script = {"script": "app.js"}
        peer.start(
            script | {"name": "plain"},
            script | {"name": "two", "instances": 2, "exec_mode": "fork"},
            script
            | {"name": "own", "instances": 1, "out_file": "o.log", "error": "e.txt"},
            script
            | {"name": "merged", "instances": 2, "merge_logs": True, "pid": "p.pid"},
            {"script": "app.js", "namespace": "jobs", "autorestart": False},
        )
    pm2, ours = (peer.shown() for peer in peers)
    assert ours == pm2
    for peer in peers:
        for item in peer.items():
            assert peer.read(item["pm2_env"]["pm_pid_path"]) == str(item["pid"])


@pytest.mark.soak
def test_lines_of_logs(peers: tuple[Peer, Peer]) -> None:
    """With a date, as JSON, both streams in one file."""
    said = []
    for peer in peers:
        script = {"script": "app.js"}
        peer.start(
            script | {"name": "dated", "log_date_format": "YY-MM-DD HH:mm:ss"},
            script | {"name": "timed", "time": True},
            script | {"name": "json", "log_type": "json", "log_date_format": "YYYY"},
            script | {"name": "both", "log_file": "both.log"},
        )
        digits = re.compile(r"\d")
        dated = digits.sub("9", peer.read("HOME/logs/dated-error.log"))
        timed = digits.sub("9", peer.read("HOME/logs/timed-error.log"))
        objects = json.loads(peer.read("HOME/logs/json-error.log").splitlines()[0])
        # PM2 has the end of the line in the message; a line is one here.
        objects["message"] = objects["message"].rstrip("\n")
        peer.read("both.log")
        wait.until(lambda p=peer: "to err" in p.read("both.log"), "both streams")  # type: ignore[misc]  # a lambda in a loop
        said.append((dated, timed, objects))
    assert said[1] == said[0]
    assert said[1][0] == "99-99-99 99:99:99: to err\n"


@pytest.mark.parametrize(
    ("field", "word"),
    [
        pytest.param({}, "SIGINT", marks=pytest.mark.soak),
        ({"shutdown_with_message": True}, "message shutdown"),
    ],
)
def test_how_a_program_is_told_to_end(
    peers: tuple[Peer, Peer], field: dict[str, Any], word: str
) -> None:
    """By a signal, or by a message on Node's channel."""
    for peer in peers:
        peer.start({"name": "a", "script": "app.js", "wait_ready": True} | field)
        assert peer.run("stop", "a").returncode == 0
        assert peer.read("HOME/logs/a-out.log").splitlines()[-1] == word, peer.name
        (item,) = peer.items()
        assert item["pm2_env"]["status"] == "stopped"
        assert item["pid"] == 0


@pytest.mark.parametrize(
    ("field", "status", "lives"),
    [
        pytest.param(
            *({"max_restarts": 3, "min_uptime": 4000}, "errored", 1 + 3),
            marks=pytest.mark.soak,
        ),
        ({"stop_exit_codes": [9]}, "stopped", 2),
        pytest.param({"autorestart": False}, "stopped", 1, marks=pytest.mark.soak),
    ],
)
def test_what_becomes_of_who_ends(
    peers: tuple[Peer, Peer], field: dict[str, Any], status: str, lives: int
) -> None:
    """One good life, then short ones: the number of restarts, and the last status."""
    good_ms = field.get("min_uptime", 1000) + 1000
    program = f"""
    const fs = require('node:fs');
    fs.appendFileSync('lives', 'x');
    setTimeout(() => process.exit(9), fs.statSync('lives').size > 1 ? 10 : {good_ms});
    """
    if "stop_exit_codes" in field:
        program = program.replace("process.exit(9)", "process.exit(first ? 8 : 9)")
        program = program.replace(
            "fs.append", "const first = !fs.existsSync('lives'); fs.append"
        )
    for peer in peers:
        (peer.directory / "ends.js").write_text(program)
        peer.start({"script": "ends.js"} | field)

        def ended(peer: Peer = peer) -> bool:
            (item,) = peer.items()
            # Between two lives PM2 shows it as stopped too.
            lived = len((peer.directory / "lives").read_text())
            return lived >= lives and bool(item["pm2_env"]["status"] == status)

        wait.until(ended, f"{peer.name}: {status}", 30)
        assert len((peer.directory / "lives").read_text()) == lives, peer.name


# --- known differences --------------------------------------------------------------

BROKEN = "throw new Error('broken on purpose')"
NEVER_READY = "setInterval(() => {}, 1000)"


def serving(port: int) -> str:
    """Return a program that listens and says ready."""
    return f"""
    require('node:http').createServer((q, r) => r.end('x')).listen({port}, '127.0.0.1',
      () => process.send && process.send('ready'));
    """


@pytest.mark.parametrize("broken", matrix([BROKEN, NEVER_READY], BROKEN))
def test_difference_a_bad_release(peers: tuple[Peer, Peer], broken: str) -> None:
    """PM2 ends the old version even if the new one fails, with exit code 0."""
    answers, codes = [], []
    for peer in peers:
        port = wait.free_port()
        app = {"name": "a", "script": "s.js", "instances": 1, "wait_ready": True}
        (peer.directory / "s.js").write_text(serving(port))
        peer.start(app | {"listen_timeout": 30_000})
        (peer.directory / "s.js").write_text(broken)
        peer.declare(app | {"listen_timeout": 1000})
        codes.append(peer.run("reload", "app.json").returncode)
        answers.append(wait.answers(port))
    assert codes == [0, 1]
    assert answers == [False, True]


@pytest.mark.soak
def test_difference_zero_is_zero(peers: tuple[Peer, Peer]) -> None:
    """kill_timeout 0: PM2 waits its default of 1.6 s, gapless kills at once."""
    codes = []
    for peer in peers:
        program = PROGRAM.replace(
            "process.exit(0); }", "setTimeout(process.exit, 500); }"
        )
        (peer.directory / "app.js").write_text(program)
        app = {"name": "a", "script": "app.js", "wait_ready": True, "kill_timeout": 0}
        peer.start(app)
        pid = peer.items()[0]["pid"]
        status = Path(f"/proc/{pid}")
        peer.run("stop", "a")
        assert not status.exists()
        said = (peer.home / "logs" / "a-out.log").read_text()
        codes.append("SIGINT" in said)
    assert codes[0] is True  # it ended by itself, half a second later


@pytest.mark.soak
def test_difference_a_removed_variable_and_a_changed_number(
    peers: tuple[Peer, Peer],
) -> None:
    """PM2 keeps the removed variable, and ignores the changed number."""
    found = []
    for peer in peers:
        app = {"name": "a", "script": "app.js", "instances": 1, "merge_logs": True}
        peer.start(app | {"env": {"A": "1", "B": "1"}})
        (peer.directory / "app.json").write_text(
            json.dumps({"apps": [app | {"env": {"B": "1"}, "instances": 2}]})
        )
        assert peer.run("reload", "app.json").returncode == 0
        items = peer.items()
        coloured = peer.run("env", str(items[-1]["pm_id"])).stdout
        said = re.sub(r"\x1b\[\d+m", "", coloured)
        found.append(
            (len(items), re.search(r"^A[:=] ?1$", said, re.MULTILINE) is not None)
        )
    assert found == [(1, True), (2, False)]


@pytest.mark.soak
def test_difference_the_manager_dies(peers: tuple[Peer, Peer]) -> None:
    """SIGKILL to the daemon ends PM2's cluster; under gapless the app serves on."""
    alive = []
    for peer in peers:
        port = wait.free_port()
        (peer.directory / "s.js").write_text(serving(port))
        peer.start({"name": "a", "script": "s.js", "instances": 2})
        wait.until(lambda port=port: wait.answers(port), "an answer")  # type: ignore[misc]  # a lambda in a loop
        if peer.name == "pm2":
            daemon = int((peer.home / "pm2.pid").read_text())
        else:
            said = subprocess.run(
                [str(GAPLESS), "list", "--json"],
                env=peer.environment,
                capture_output=True,
                check=True,
            )
            daemon = int(json.loads(said.stdout)["supervisor"]["pid"])
        workers = [item["pid"] for item in peer.items()]
        os.kill(daemon, signal.SIGKILL)
        if peer.name == "pm2":
            wait.until(
                lambda workers=workers: not any(map(_lives, workers)),  # type: ignore[misc]  # a lambda in a loop
                "the end of its workers",
            )
        alive.append(wait.answers(port))
    assert alive == [False, True]


def _lives(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


REJECTS = "Promise.reject(new Error('x')); setInterval(() => {}, 1000);"


def ended(peer: Peer, name: str) -> bool:
    """Return whether an app does not run, or is not known at all."""
    own = [each for each in peer.items() if each["name"] == name]
    return all(each["pm2_env"]["status"] in ("stopped", "errored") for each in own)


@pytest.mark.soak
def test_unhandled_rejections(peers: tuple[Peer, Peer]) -> None:
    """The same programs outlive them, and the same end: by mode, `pmx` and extension."""
    found = []
    for peer in peers:
        (peer.directory / "app.js").write_text(REJECTS)
        (peer.directory / "www").write_text(f"#!/usr/bin/env node\n{REJECTS}")
        once = {"autorestart": False, "min_uptime": 100}
        peer.start(
            {"script": "app.js", "name": "fork", **once},
            {"script": "app.js", "name": "cluster", "instances": 1, **once},
            {"script": "www", "name": "text", "instances": 2, **once},
            {"script": "app.js", "name": "many", "instances": 1, "pmx": False, **once},
        )
        peer.run("start", "app.js", "--name", "bare", "--no-pmx", "--no-autorestart")
        wait.until(partial(ended, peer, "bare"), "a fork without pmx ends")
        found.append(
            sorted(
                (each["name"], each["pm2_env"]["status"], each["pm2_env"]["exec_mode"])
                for each in peer.items()
                if each["name"] != "bare"
            )
        )
    assert found[0] == found[1]
    assert {status for _, status, _ in found[1]} == {"online"}
