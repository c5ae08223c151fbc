"""A real browser, Debian's Chromium, driven as people use it: by keys and clicks.

It is driven by ChromeDriver (Debian's chromium-driver) over WebDriver, which is HTTP with
JSON: https://www.w3.org/TR/webdriver2/.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rig import wait

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
ANSWER_S = 60.0 * wait.SLOWER
TAB, ENTER, ESCAPE, SPACE = "\ue004", "\ue007", "\ue00c", " "
SHIFT = "\ue008"


class Browser:
    """One window."""

    def __init__(self, port: int, session: str) -> None:
        self._port, self._session = port, session

    # --- what people do -----------------------------------------------------------------

    def open(self, url: str) -> None:
        """Go to an address."""
        self._ask("POST", "url", {"url": url})

    def press(self, *keys: str) -> None:
        """Press keys one after the other; where the focus is they are heard."""
        strokes = []
        for key in keys:
            strokes += [
                {"type": "keyDown", "value": key},
                {"type": "keyUp", "value": key},
            ]
        source = {"type": "key", "id": "keyboard", "actions": strokes}
        self._ask("POST", "actions", {"actions": [source]})

    def press_backwards(self, key: str) -> None:
        """Press a key with Shift."""
        down, up = "keyDown", "keyUp"
        strokes = [(down, SHIFT), (down, key), (up, key), (up, SHIFT)]
        actions = [{"type": kind, "value": value} for kind, value in strokes]
        source = {"type": "key", "id": "keyboard", "actions": actions}
        self._ask("POST", "actions", {"actions": [source]})

    def tab_to(self, wanted: str, most: int = 60) -> None:
        """Press Tab until the focus is at this text.  Raises AssertionError."""
        passed = []
        for _ in range(most):
            if self.focused() == wanted:
                return
            self.press(TAB)
            passed.append(self.focused())
        raise AssertionError(f"Tab does not lead to {wanted!r}: {passed}")

    def focused(self) -> str:
        """Return the text or the label of the element that has the focus."""
        return str(
            self.run(
                "const e = document.activeElement;"
                "return (e.textContent || e.ariaLabel || e.value || e.id || '').trim()"
            )
        )

    def resize(self, width: int, height: int) -> None:
        """Make the window as large."""
        self._ask("POST", "window/rect", {"width": width, "height": height})

    def prefer(self, *, dark: bool) -> None:
        """Let the user prefer dark colours, or light ones."""
        scheme = "dark" if dark else "light"
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._cdp("Emulation.setEmulatedMedia", {"features": features})

    # --- what people see ----------------------------------------------------------------

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page as the body of a function; return its value."""
        return self._ask("POST", "execute/sync", {"script": script, "args": arguments})

    def text(self, selector: str) -> str:
        """Return the text that is visible in an element; empty if there is none."""
        script = "return document.querySelector(arguments[0])?.innerText ?? ''"
        return str(self.run(script, selector))

    def sees(self, selector: str, wanted: str, timeout_s: float = 30.0) -> None:
        """Wait until a text is visible in an element."""
        try:
            wait.until(lambda: wanted in self.text(selector), wanted, timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; it says {self.text(selector)!r}") from None

    def troubles(self) -> list[str]:
        """Return what the browser complained of since it was asked last.

        That is what broke the policy of the page, scripts that failed, and the like.
        """
        found = self._ask("POST", "se/log", {"type": "browser"})
        return [str(each["message"]) for each in found if each["level"] == "SEVERE"]

    def screenshot(self, path: Path) -> None:
        """Write what is seen, as PNG."""
        path.write_bytes(base64.b64decode(self._ask("GET", "screenshot")))

    # --- WebDriver ----------------------------------------------------------------------

    def _cdp(self, command: str, parameters: dict[str, Any]) -> Any:
        return self._ask(
            "POST", "goog/cdp/execute", {"cmd": command, "params": parameters}
        )

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        return _ask(self._port, method, f"/session/{self._session}/{path}", body)


@contextmanager
def browser() -> Iterator[Browser]:
    """Return a browser that has not been anywhere."""
    # Its sockets have to have short names (unix(7)): pytest's directories are too deep.
    with (
        tempfile.TemporaryDirectory(prefix="web-") as directory,
        _driven(directory) as it,
    ):
        yield it


@contextmanager
def _driven(directory: str) -> Iterator[Browser]:
    driver = subprocess.Popen(
        [DRIVER, "--port=0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"HOME": directory, "TMPDIR": directory},
    )
    assert driver.stdout is not None
    try:
        port = _port(iter(driver.stdout))
        options = {
            "binary": CHROMIUM,
            "args": [
                *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"),
                *("--disable-gpu", "--no-first-run", "--window-size=1200,900"),
                *("--disable-background-networking", "--disable-component-update"),
                f"--user-data-dir={directory}/profile",
            ],
        }
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        begun = _ask(
            port, "POST", "/session", {"capabilities": {"alwaysMatch": wanted}}
        )
        session = begun["sessionId"]
        try:
            yield Browser(port, session)
        finally:
            _ask(port, "DELETE", f"/session/{session}")
    finally:
        driver.terminate()
        driver.wait(30)
        driver.stdout.close()


def _port(lines: Iterator[str]) -> int:
    for line in lines:
        if found := re.search(r"successfully on port ([0-9]+)", line):
            return int(found[1])
    raise AssertionError("chromedriver did not start")


def _ask(port: int, method: str, path: str, body: Any = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    try:
        content = json.dumps({} if body is None else body) if method == "POST" else None
        connection.request(method, path, content, {"Content-Type": "application/json"})
        found = json.loads(connection.getresponse().read())["value"]
    finally:
        connection.close()
    if isinstance(found, dict) and "error" in found:
        raise AssertionError(f"{method} {path}: {found['error']}: {found['message']}")
    return found
