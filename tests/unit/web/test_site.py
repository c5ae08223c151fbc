"""The requests of browsers, and of others: what is answered, what is refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gapless.base.errors import MisuseError
from gapless.base.names import Home
from gapless.client import Client
from gapless.web import access
from gapless.web.deeds import MOST_BYTES, Deed, Deeds, Perform
from gapless.web.feed import Feed
from gapless.web.gate import Gate
from gapless.web.host_look import HostLook
from gapless.web.site import Host, Site

TOKEN = "t" * 43
NOW = 1_000_000.0
OWN = "127.0.0.1:9470"


@dataclass(slots=True)
class Answer:
    """What was answered."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(slots=True)
class Page:
    """The app of a page, called as uvicorn calls it, without a network."""

    gate: Gate
    deeds: Deeds
    cookie: str = f"gapless_web_9470={access.cookie(TOKEN, NOW)}"

    def get(self, path: str, **headers: str) -> Answer:
        """Ask for a path."""
        return self.ask(
            "GET", path, b"", {"host": OWN, "cookie": self.cookie} | headers
        )

    def post(self, path: str, body: bytes, **headers: str) -> Answer:
        """Send something."""
        own = {"host": OWN, "cookie": self.cookie, "origin": f"http://{OWN}"}
        own |= {"content-type": "application/json"}
        return self.ask("POST", path, body, own | headers)

    def ask(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> Answer:
        """Return the answer to any request; a header without a value is left out."""
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(n.encode(), v.encode()) for n, v in headers.items() if v],
        }
        answer = Answer()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {n.decode(): v.decode() for n, v in message["headers"]}
            else:
                answer.body += message.get("body", b"")

        asyncio.run(self.gate(scope, receive, send))
        return answer


def page_of(
    tmp_path: Path,
    perform: Perform | None = None,
    rollouts: Callable[[], list[dict[str, Any]]] | None = None,
) -> Page:
    """Return the page of a host on which nothing runs."""
    home = Home(str(tmp_path))
    host = Host(name="here", home=home, perform=perform, rollouts=rollouts)
    done = Deeds()
    site = Site(host, Feed(HostLook(Client(home.path, starts=False)), done), done)
    gate = Gate(
        site.routes(),
        token=TOKEN,
        port=9470,
        names=["page.example"],
        is_secure=False,
        wall=lambda: NOW,
    )
    site.gate = gate
    return Page(gate, done)


@pytest.fixture
def page(tmp_path: Path) -> Page:
    """Return a page that is only looked at."""
    return page_of(tmp_path)


def test_the_token_of_the_link_becomes_a_cookie(page: Page) -> None:
    """No script sees it, no other site sends it, and the address is without the token."""
    answer = page.get(f"/?token={TOKEN}", cookie="")
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    for each in ("HttpOnly", "SameSite=strict", "Path=/"):
        assert each in cookie
    assert page.get("/", cookie=cookie.split(";")[0]).status == 200


@pytest.mark.parametrize(
    "path", ["/events", "/reports?app=a", "/report", "/page/main.js"]
)
def test_without_the_token_nothing_is_told(page: Page, path: str) -> None:
    """Neither with a token that is none, nor with a cookie of another."""
    for cookie in (
        "",
        "gapless_web_9470=x",
        f"gapless_web_9470={TOKEN}",
        "a=b; ;=;" * 99,
    ):
        assert page.get(path, cookie=cookie).status == 401
    assert page.get("/", cookie="").headers["location"] == "/enter"
    assert page.get("/?token=x", cookie="").status == 403
    assert page.post("/actions", b"{}", cookie="").status == 401


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize(
    "query",
    [
        "xtoken=",
        "a=token=",
        "token=",
        "token",
        "token=x",
        "%74oken=x",
        "a&xtoken=x;token=",
    ],
)
def test_nobody_gets_a_cookie_who_does_not_know_the_token(
    page: Page, query: str, method: str
) -> None:
    """Whatever else the query has, and however the word is written there."""
    headers = {"host": OWN, "origin": f"http://{OWN}"}
    answer = page.ask(method, f"/?{query}", b"", headers)
    assert answer.status in (303, 401, 403)
    assert "set-cookie" not in answer.headers


def test_cookies_of_others_are_no_hindrance(page: Page) -> None:
    """Apps on other ports of the same host put theirs beside ours."""
    others = 'a={"b": "c"}; gapless_web_9470=old; d'
    assert page.get("/", cookie=f"{others}; {page.cookie}; e=1").status == 200


def test_the_token_can_be_typed(page: Page) -> None:
    """Who has it, and not the link, is let in by a form of the page itself."""
    form = {"content-type": "application/x-www-form-urlencoded", "cookie": ""}
    assert page.post("/enter", f"token={TOKEN}".encode(), **form).status == 303
    assert page.post("/enter", b"token=x", **form).status == 403
    stranger = form | {"origin": "http://evil.example"}
    assert page.post("/enter", f"token={TOKEN}".encode(), **stranger).status == 403


def test_another_name_of_the_host_is_refused(page: Page) -> None:
    """Whatever cookie comes with it, and also for what needs none."""
    for path in ("/", "/health", "/enter", "/page/style.css"):
        assert page.get(path, host="evil.example").status == 421
        assert page.get(path, host="").status == 421
    assert page.get("/", host="page.example:443").status == 200


def test_every_answer_has_the_policy(page: Page) -> None:
    """No script but those of the page runs, whatever an app prints."""
    for path in ("/", "/enter", "/health", "/none", "/page/none.js", "/reports?app=a"):
        answer = page.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


def test_a_page_without_actions_changes_nothing(page: Page) -> None:
    """The button is not there, and who asks all the same is refused."""
    answer = page.post("/actions", b'{"action": "stop", "app": "shop"}')
    assert answer.status == 403
    assert b"--actions" in answer.body


def test_an_action_is_asked_for_by_the_page_alone(tmp_path: Path) -> None:
    """By its origin, in JSON, and within limits."""
    done: list[Deed] = []

    def perform(deed: Deed, on_step: Any) -> dict[str, Any]:
        _ = on_step
        done.append(deed)
        raise MisuseError("it was refused")

    page = page_of(tmp_path, perform)
    body = b'{"action": "stop", "app": "shop"}'
    for origin in ("", "null", "http://evil.example", "http://127.0.0.1:3000"):
        assert page.post("/actions", body, origin=origin).status == 403
    assert page.post("/actions", body, **{"content-type": "text/plain"}).status == 415
    assert page.post("/actions", b"x" * (MOST_BYTES + 1)).status == 413
    assert page.post("/actions", b'{"action": "delete", "app": "shop"}').status == 400
    assert page.ask("PUT", "/actions", body, {"host": OWN}).status == 403
    assert page.get("/actions").status == 405
    assert done == []


def test_an_action_for_which_there_is_no_thread_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be under way for good, and count against those that may be."""

    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    page = page_of(tmp_path, lambda *_: {})
    monkeypatch.setattr(threading.Thread, "start", none_left)
    answer = page.post("/actions", b'{"action": "stop", "app": "shop"}')
    assert answer.status == 503
    assert b"no thread" in answer.body
    assert not page.deeds.under_way
    assert [each["state"] for each in page.deeds.since(0)] == ["failed"]


def test_rollouts_are_not_read_anew_for_each_browser(tmp_path: Path) -> None:
    """Their coordinator is asked once for all that ask at about the same time."""
    read: list[int] = []

    def rollouts() -> list[dict[str, Any]]:
        read.append(1)
        return [{"app": "shop"}]

    page = page_of(tmp_path, rollouts=rollouts)
    for _ in range(3):
        assert page.get("/rollouts").body == b'{"fleets":[{"app":"shop"}]}'
    assert len(read) == 1
    assert page_of(tmp_path).get("/rollouts").status == 404


def test_the_files_of_the_page_are_those_of_the_package(page: Page) -> None:
    """Nothing else is reached by a name, and no page loads anything from elsewhere."""
    assert (
        page.get("/page/main.js").headers["content-type"].startswith("text/javascript")
    )
    for name in ("..%2fsite.py", "../site.py", "site.py", "", "__init__.py", "none"):
        assert page.get(f"/page/{name}").status == 404
    index = page.get("/").body
    assert b"http:" not in index
    assert b"https:" not in index


def test_scripts_make_no_markup() -> None:
    """What comes from an app becomes text: no script has a way to make more of it."""
    import gapless.web

    folder = Path(gapless.web.__file__).parent / "page"
    ways = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")
    for path in folder.glob("*.js"):
        assert not [each for each in ways if each in path.read_text()], path.name
    for path in folder.glob("*.html"):
        text = path.read_text()
        assert "style=" not in text
        assert " on" + "click" not in text
        assert "<script>" not in text
