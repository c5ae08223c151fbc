"""The cases in which PM2 was measured to lose requests: here none is lost under load."""

from __future__ import annotations

from typing import Any

import pytest

from rig.fixtures.declarations import HTTP, Declarations
from rig.load import engine
from rig.load.process import run_load
from rig.matrix import matrix
from rig.wait import until

PAUSED = engine.Traffic(kind="paused", concurrency=4, keep_alive=True, pause_s=0.6)
SLOW = engine.Traffic(kind="slow", concurrency=3, path="/slow")
POSTS = engine.Traffic(
    kind="post", concurrency=2, method="POST", body_bytes=20_000, body_s=0.3
)
PLAIN = HTTP.replace("=> process.send && process.send('ready')", "=> 0")
CLOSING = HTTP + "process.on('SIGINT', () => server.close(() => process.exit(0)));"
SLOWLY = CLOSING.replace(
    "  request.resume()",
    "  if (request.url === '/slow') setTimeout(() => response.end('x'), 4000); else\n"
    "  request.resume()",
)
PYTHON = """
import http.server, os

class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"release {os.environ.get('RELEASE', '1')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128

Server(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""
CASES: dict[str, tuple[str, dict[str, Any], tuple[engine.Traffic, ...]]] = {
    "no handler": (
        PLAIN,
        {"instances": 2},
        (engine.NEW, engine.KEEP_ALIVE, PAUSED, POSTS),
    ),
    "a closing handler": (
        CLOSING,
        {"instances": 2},
        (engine.NEW, engine.KEEP_ALIVE, PAUSED),
    ),
    "slow requests, default kill_timeout": (
        SLOWLY,
        {"instances": 2},
        (engine.NEW, SLOW),
    ),
    "fork mode": (
        PLAIN,
        {"exec_mode": "fork"},
        (engine.NEW, engine.KEEP_ALIVE, PAUSED),
    ),
}


@pytest.mark.parametrize("case", matrix(CASES, "no handler", "a closing handler"))
def test_reload_and_restart(declared: Declarations, case: str) -> None:
    """Cases A, B, H and L: PM2 resets and refuses connections, and cuts requests."""
    program, fields, traffic = CASES[case]
    declared.write("http.js", program)
    declared.start_listening(declared.http(**fields))
    with run_load(declared.port, *traffic) as under_load:
        for verb in ("reload", "restart"):
            under_load.wait_for(60)
            report = declared.host.json(verb, "web")
            assert report["outcome"] == "done"
            assert report["connections"]["cut"] == report["requests"]["cut"] == 0
        under_load.wait_for(60)
        assert under_load.stop().lost == 0


def test_fewer_instances(declared: Declarations) -> None:
    """Case G: from four instances to one."""
    declared.write("http.js", PLAIN)
    declared.start_listening(declared.http(instances=4))
    with run_load(declared.port, engine.NEW, engine.KEEP_ALIVE, PAUSED) as under_load:
        under_load.wait_for(60)
        declared.host.ok("scale", "web", 1)
        under_load.wait_for(60)
        assert under_load.stop().lost == 0
    assert len(declared.host.app("web")["pids"]) == 1


def test_python(declared: Declarations) -> None:
    """Case K: PM2 restarts what is not Node; here it is a handoff like any other."""
    declared.write("web.py", PYTHON)
    app = declared.http(env={"RELEASE": "1"}) | {"script": "web.py"}
    declared.start_listening(app)
    with run_load(declared.port, engine.NEW) as under_load:
        under_load.wait_for_version("1")
        app["env"]["RELEASE"] = "2"
        declared.declare(app)
        declared.host.ok("reload", "app.json")
        under_load.wait_for_version("2")
        assert under_load.stop().lost == 0


def test_what_a_file_says_now_is_taken(declared: Declarations) -> None:
    """Case F: arguments, date format, a stop signal's time, a name that is deleted."""
    declared.write(
        "say.js",
        "console.log(process.argv.slice(2).join(' ')); setInterval(() => {}, 1000);"
        "process.send('ready')",
    )
    app = {"name": "say", "script": "say.js", "wait_ready": True, "args": "one"}
    declared.start(app | {"kill_timeout": 100}, app | {"name": "other"})
    until(lambda: declared.log("say") == "one\n", "the first word")
    declared.declare(app | {"args": ["two", "three"], "log_date_format": "[on] YYYY"})
    declared.host.ok("reload", "app.json")
    until(lambda: "two three" in declared.log("say"), "the second word")
    first, second = declared.log("say").splitlines()
    assert first == "one"
    assert second.startswith("on 2")
    assert declared.host.app("say")["spec"]["stop"]["kill_timeout_s"] == 1.6
    assert declared.host.status("other") == "online"  # not named: left alone
    done = declared.host.gapless("reload", "other")
    assert done.returncode == 1
    assert "no longer declares it" in done.stderr
    declared.host.ok("delete", "app.json")
    names = [row["name"] for row in declared.host.json("list")["apps"]]
    assert names == ["other"]
