"""The web page of a host, as an app under gapless, over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import queue
import signal
import socket
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rig import wait
from rig.background import BackgroundProcess
from rig.fixtures.web_page import Page, Shop, begin_rollouts, start_page
from rig.hosts.host import Host


class Events:
    """The events of one browser; when the stream ends it connects again, as browsers do."""

    def __init__(self, page: Page, app: str) -> None:
        self._page, self._app = page, app
        self.begun = 0
        """How many streams there were."""
        self._found: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._is_over = threading.Event()
        self._sock: socket.socket | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def until(self, fact: Any, what: str) -> Any:
        """Return the first event of which *fact* of name and value is true."""
        seen: list[str] = []

        def found() -> Any:
            while not self._found.empty():
                name, value = self._found.get()
                seen.append(f"{name} {json.dumps(value)[-300:]}")
                if fact(name, value):
                    return [(name, value)]
            return None

        try:
            return wait.until(found, what, 60)[0][1]
        except AssertionError as error:
            raise AssertionError(f"{error}: {seen[-20:]}") from None

    def close(self) -> None:
        """Leave."""
        self._is_over.set()
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if self._sock is not None:
                self._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self._is_over.wait(0.1):
            try:
                self._read()
            except (OSError, http.client.HTTPException):
                continue

    def _read(self) -> None:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._page.port, timeout=60
        )
        try:
            cookie = {"Cookie": self._page.cookie}
            connection.request("GET", f"/events?app={self._app}", headers=cookie)
            self._sock = connection.sock
            answer = connection.getresponse()
            if answer.status != 200:
                return
            self.begun += 1
            content = b""
            while piece := answer.read1(65536):
                *whole, content = (content + piece).split(b"\n\n")
                for each in whole:
                    self._take(each.decode())
        finally:
            connection.close()

    def _take(self, text: str) -> None:
        fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        if "event" in fields:
            self._found.put((fields["event"], json.loads(fields["data"])))


@contextlib.contextmanager
def events(page: Page, app: str) -> Iterator[Events]:
    """Return the events of a browser that stays for as long as that."""
    found = Events(page, app)
    try:
        yield found
    finally:
        found.close()


def test_a_page_shows_releases_live_also_its_own(host: Host) -> None:
    """It tells of a reload, does what it is asked for, and outlives a supervisor."""
    port = wait.free_port()
    host.ok("start", Shop(host).declare("first", healthy=1.5))
    start_page(host, port, "--actions")
    page = Page(host, port)
    assert page.ask("GET", "/reports", Host="evil.example").status == 421
    assert page.ask("GET", "/events").status == 401
    with events(page, "shop") as seen:
        first = seen.until(lambda n, _: n == "apps", "the apps")
        assert {row["name"] for row in first["rows"]} == {"shop", "page"}
        seen.until(lambda n, v: n == "log" and "<b>first</b>" in v[-1], "its log")
        assert page.act(action="reload", app="shop") == 202
        seen.until(lambda n, v: n == "app" and v["operation"], "the reload under way")
        seen.until(
            lambda n, v: n == "deeds" and v[-1]["state"] == "done", "the end of it"
        )
        (report, *_) = page.json("/reports?app=shop")["reports"]
        found = page.json(f"/report?app=shop&name={report['name']}")
        assert [each["label"] for each in found["picture"]["lanes"]] == [
            "generation 1",
            "generation 2",
        ]
        begun = seen.begun
        host.ok("reload", "page")
        wait.until(lambda: seen.begun > begun, "the browser to come again", 60)
        seen.until(
            lambda n, v: n == "apps" and any(r["generation"] == 2 for r in v["rows"]),
            "the apps, from the next page",
        )
        os.kill(host.supervisor_pid(), signal.SIGKILL)
        seen.until(
            lambda n, v: n == "state" and "serve on" in v["trouble"],
            "that no supervisor runs",
        )


@pytest.mark.soak
def test_every_button_does_what_its_command_does(host: Host) -> None:
    """What fails is told with its reason, and the app serves on."""
    (host.directory / "dfs" / "src").mkdir(parents=True)
    command = json.dumps([sys.executable, "app.py"])
    host.configure(
        f'[app.example]\ncommand = {command}\ndirectory = "dfs/dist/example"\n'
        f'environment = {{ PORT = "{wait.free_port()}" }}\nmin_healthy_s = 0.1\n'
        '[release.example]\nbase = "dfs"\n'
    )
    link = host.directory / "dfs" / "dist" / "example"
    host.ok("publish", tarball(host, "1"))
    host.ok("start", "gapless.toml")
    first = link.resolve().name
    host.ok("publish", tarball(host, "2"))
    assert link.resolve().name != first
    port = wait.free_port()
    start_page(host, port, "--actions")
    page = Page(host, port)
    with events(page, "") as seen:

        def done(action: str, state: str = "done", **more: int) -> str:
            assert page.act(action=action, app="example", **more) == 202
            found = seen.until(
                lambda name, value: (
                    name == "deeds"
                    and (value[-1]["action"], value[-1]["state"]) == (action, state)
                ),
                f"{action} {state}",
            )
            return str(found[-1]["text"])

        done("rollback")
        assert link.resolve().name == first
        assert "no release before" in done("rollback", "failed")
        done("scale", instances=2)
        assert host.row("example")["instances"]["wanted"] == 2
        for action in ("restart", "reload", "stop", "start"):
            done(action)
        assert host.status("example") == "online"
        assert host.row("example")["instances"]["ready"] == 1  # as its file says
        assert page.act(action="stop", app="none") == 202
        seen.until(
            lambda n, v: n == "deeds" and v[-1]["state"] == "failed",
            "that there is no such app",
        )


def test_rollouts_are_changed_by_buttons_without_a_supervisor(host: Host) -> None:
    """The one that was seen is meant: another that followed it is left as it is."""
    store = begin_rollouts(host)
    port = wait.free_port()
    page_log = host.directory / "page.log"
    background = BackgroundProcess(page_log)
    host.start_in_background(background, "web", "--listen", str(port), "--actions")
    try:
        wait.until(lambda: "the page is on" in background.output(), "the page", 60)
        page = Page(host, port)
        with events(page, "") as seen:

            def done(action: str, number: int) -> str:
                assert page.act(action=action, app="shop", rollout=number) == 202
                found = seen.until(
                    lambda name, value: (
                        name == "deeds"
                        and value[-1]["action"] == action
                        and value[-1]["state"] in ("done", "failed")
                    ),
                    f"the end of {action}",
                )
                return str(found[-1]["text"])

            assert done("hold", 2) == "rollout 2 is held"
            (fleet,) = page.json("/rollouts")["fleets"]
            assert (fleet["state"], fleet["may"]) == ("held", ["resume", "abort"])
            assert "rollout 2 followed it" in done("resume", 1)
            assert "has no effect" in done("hold", 2)
            assert done("resume", 2) == "rollout 2 is rolling"
            assert done("abort", 2) == "rollout 2 is reverting"
            assert page.act(action="reload", app="shop") == 202
            failed = seen.until(
                lambda n, v: n == "deeds" and v[-1]["state"] == "failed", "its end"
            )
            assert "no supervisor runs" in failed[-1]["text"]
    finally:
        background.terminate()
    current, _ = store.rollout()
    assert current is not None
    assert (current.state.value, current.reason) == ("reverting", "abort by hand")


def tarball(host: Host, version: str) -> Path:
    """Write a release of a program that listens; return its path."""
    code = (
        "import os, signal, socket\n"
        "s = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\n"
        f"print({version!r}, flush=True)\nsignal.pause()\n"
    ).encode()
    path = host.directory / f"example-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("example/app.py")
        member.size = len(code)
        archive.addfile(member, io.BytesIO(code))
    return path
