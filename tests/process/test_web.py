"""The web page of a host, as an app under gapless, over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import queue
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rig import wait
from rig.fixtures.web_page import Page, Shop, start_page
from rig.hosts.host import Host


class Events:
    """The events of one browser; when the stream ends it connects again, as browsers do."""

    def __init__(self, page: Page, app: str) -> None:
        self._page, self._app = page, app
        self.begun = 0
        """How many streams there were."""
        self._found: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def until(self, fact: Any, what: str) -> Any:
        """Return the first event of which *fact* of name and value is true."""
        seen: list[str] = []

        def found() -> Any:
            while not self._found.empty():
                name, value = self._found.get()
                seen.append(f"{name} {json.dumps(value)[:200]}")
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
        self._thread.join(30)

    def _run(self) -> None:
        while not self._is_over.wait(0.1):
            try:
                self._read()
            except (OSError, http.client.HTTPException):
                continue

    def _read(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._page.port, timeout=1)
        try:
            cookie = {"Cookie": self._page.cookie}
            connection.request("GET", f"/events?app={self._app}", headers=cookie)
            answer = connection.getresponse()
            if answer.status != 200:
                return
            self.begun += 1
            content = b""
            while not self._is_over.is_set():
                try:
                    piece = answer.read1(65536)
                except TimeoutError:
                    continue
                if not piece:
                    return
                *whole, content = (content + piece).split(b"\n\n")
                for each in whole:
                    self._take(each.decode())
        finally:
            connection.close()

    def _take(self, text: str) -> None:
        fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        if "event" in fields:
            self._found.put((fields["event"], json.loads(fields["data"])))


@contextmanager
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
