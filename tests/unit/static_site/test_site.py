"""What the server of static files answers: asked by a client that rewrites no path."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gapless.config import site
from gapless.static_site import content_tags
from gapless.static_site.content_tags import ContentTags
from gapless.static_site.settings import read
from rig.wait import free_port, until

SECRET = "correct horse: battery"
FILES = {
    "index.html": "home",
    "page.html": "page 0123456789",
    "404.html": "nothing here",
    "app.js": "script",
    "below/index.html": "below",
    "below/deep/file.txt": "deep",
    ".env": "hidden",
    "below/.git/config": "hidden",
    ".well-known/security.txt": "contact",
    "a b%.txt": "odd",
}


class Answers:
    """A server that runs, and what it answers."""

    def __init__(self, root: Path, **variables: str) -> None:
        self.port = free_port()
        environment = os.environ | {
            site.PATH: str(root),
            site.PORT: str(self.port),
            site.HOST: "127.0.0.1",
            **variables,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gapless.static_site"], env=environment
        )

    def ask(self, path: str, *headers: str, method: str = "GET") -> tuple[int, str]:
        """Return the status, and all that was answered."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as line:
            lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
            line.sendall("\r\n".join([*lines, *headers, "", ""]).encode())
            pieces = []
            while piece := line.recv(65536):
                pieces.append(piece)
        answer = b"".join(pieces).decode()
        return int(answer.split()[1]), answer

    def listens(self) -> bool:
        """Return whether it accepts connections."""
        with socket.socket() as line:
            return line.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self) -> int:
        """End it as a stop does; return its exit code."""
        self.process.send_signal(2)
        return self.process.wait(20)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with files, beside one that nobody may read."""
    parent = tmp_path_factory.mktemp("site")
    (parent / "outside.txt").write_text("outside")
    top = parent / "public"
    for name, text in FILES.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (top / "out").symlink_to("../outside.txt")
    (top / "up").symlink_to("..")
    (top / "shown.txt").symlink_to(".env")
    (top / "inside.txt").symlink_to("below/deep/file.txt")
    os.mkfifo(top / "pipe")
    return top


@pytest.fixture(scope="module")
def plain(root: Path) -> Iterator[Answers]:
    """Return a server of the directory."""
    found = Answers(root)
    until(found.listens, "the server")
    yield found
    assert found.end() == 0


@pytest.fixture(scope="module")
def guarded(root: Path) -> Iterator[Answers]:
    """Return one of one page, with a homepage of its own, that asks for a password."""
    found = Answers(
        root,
        **{
            site.SPA: "true",
            site.HOMEPAGE: "/page.html",
            site.USERNAME: "amy",
            site.PASSWORD: SECRET,
        },
    )
    until(found.listens, "the server")
    yield found
    assert found.end() == 0


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/", 200, "home"),
        ("/?x=/../..", 200, "home"),
        ("/index.html", 200, "home"),
        ("/page.html", 200, "page"),
        ("/below/", 200, "below"),
        ("/below/deep/file.txt", 200, "deep"),
        ("/a%20b%25.txt", 200, "odd"),
        ("/inside.txt", 200, "deep"),
        ("/.well-known/security.txt", 200, "contact"),
        ("/nothing", 404, "nothing here"),
        ("/page.html/", 200, "page"),
        ("/below/deep/", 404, "nothing here"),
        ("/pipe", 404, "nothing here"),
    ],
)
def test_paths_name_files(plain: Answers, path: str, status: int, text: str) -> None:
    """As a web server has it."""
    found, answer = plain.ask(path)
    assert (found, text in answer) == (status, True), answer


@pytest.mark.parametrize(
    "path",
    [
        *("/../outside.txt", "/below/../../outside.txt", "/%2e%2e/outside.txt"),
        *("/..%2foutside.txt", "/%2e%2e%2foutside.txt", "/..%5coutside.txt"),
        *("//outside.txt", "/./../outside.txt", "/below/%2e%2e/%2e%2e/outside.txt"),
        *("/out", "/up/outside.txt", "/up/public/index.html/../../../outside.txt"),
        *("/.env", "/%2eenv", "/below/.git/config", "/below/%2egit/config"),
        *("/shown.txt", "/.well-known/../.env", "/.well-known/%2e%2e/.env", "/.env/"),
        *("/%00", "/.env%00.html", "/" + "a" * 300, "/" + "a/" * 3000),
        *("//etc/passwd", "/%2fetc/passwd", "/public/../../outside.txt"),
    ],
)
def test_nothing_hidden_or_outside_is_served(
    plain: Answers, guarded: Answers, path: str
) -> None:
    """Whatever the path is written like, and whatever link is there."""
    encoded = base64.b64encode(f"amy:{SECRET}".encode()).decode()
    for answers in (plain, guarded):
        found, answer = answers.ask(path, f"Authorization: Basic {encoded}")
        assert found in (200, 307, 400, 404), answer
        for text in ("hidden", "outside\n", "\r\n\r\noutside", "root:"):
            assert text not in answer, answer
    assert plain.ask(path)[0] != 200


def test_methods_ranges_and_times(plain: Answers) -> None:
    """HEAD has no body, a range is a part, an unchanged file is not sent again."""
    status, answer = plain.ask("/page.html", method="HEAD")
    assert (status, answer.endswith("\r\n\r\n")) == (200, True)
    assert "content-length: 15" in answer
    assert "access-control-allow-origin: *" in answer
    status, answer = plain.ask("/page.html", "Range: bytes=5-8")
    assert (status, answer.endswith("\r\n\r\n0123")) == (206, True)
    etag = next(each for each in answer.split("\r\n") if each.startswith("etag:"))
    assert plain.ask("/page.html", f"If-None-Match: {etag[6:]}")[0] == 304
    assert plain.ask("/page.html", "Range: bytes=90-95")[0] == 416
    assert plain.ask("/none", "If-None-Match: *")[0] == 404
    for method in ("POST", "PUT", "DELETE"):
        assert plain.ask("/page.html", method=method)[0] == 405


def header(answer: str, name: str) -> str:
    """Return a header of an answer; empty if it has none."""
    lines = answer.partition("\r\n\r\n")[0].split("\r\n")
    found = (each.partition(": ") for each in lines)
    return next((value for key, _, value in found if key.lower() == name), "")


@pytest.fixture
def releases(tmp_path: Path) -> Iterator[list[Answers]]:
    """Return servers of a release, of its copy, and of the next one: sizes and times agree.

    Of a tarball by `npm pack`, or `tar --mtime=@0`.
    """
    found = []
    for name, script in (("a", "3f2a91"), ("copy", "3f2a91"), ("b", "77c0de")):
        page = tmp_path / name / "index.html"
        page.parent.mkdir()
        page.write_text(f"<script src=app.{script}.js>")
        os.utime(page, (0, 0))
        found.append(Answers(page.parent))
    for each in found:
        until(each.listens, "the server")
    yield found
    for each in found:
        each.end()


def test_the_next_release_is_not_the_one_that_a_browser_has(
    releases: list[Answers],
) -> None:
    """Whatever the times of files say; copies on other hosts agree, for balancers."""
    old, copy, new = releases
    tag = header(old.ask("/")[1], "etag")
    assert copy.ask("/", f"If-None-Match: {tag}")[0] == 304
    status, answer = new.ask("/", f"If-None-Match: {tag}")
    assert (status, "77c0de" in answer) == (200, True)
    since = "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT"
    assert new.ask("/", since)[0] == 200
    # Of one from 1970 browsers would ask again in years only (RFC 9111, 4.2.2).
    assert not header(answer, "last-modified")


def test_a_range_is_of_the_release_that_it_was_begun_with(
    releases: list[Answers],
) -> None:
    """Else all is sent: a file is never put together from two."""
    old, copy, new = releases
    tag = header(old.ask("/")[1], "etag")
    asked = "Range: bytes=12-17"
    assert copy.ask("/", asked, f"If-Range: {tag}")[0] == 206
    for condition in (tag, "Thu, 01 Jan 1970 00:00:00 GMT", f"W/{tag}", ""):
        assert new.ask("/", asked, f"If-Range: {condition}")[0] == 200
    assert new.ask("/", asked)[0] == 206


def test_what_is_too_large_to_be_read_first_has_a_tag_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No two files have the same one; a host has read none of them."""
    monkeypatch.setattr(content_tags, "MOST_READ_BYTES", 3)
    found = set()
    for name, text in (("a", "long"), ("b", "long"), ("c", "abc"), ("d", "abc")):
        path = tmp_path / name
        path.write_text(text)
        os.utime(path, (0, 0))
        tags = ContentTags()
        found.add(tags.of(str(path), path.stat()))
        assert tags.of(str(path), path.stat()) in found
    assert len(found) == 3


def test_what_is_written_anew_in_its_place_has_another_tag(tmp_path: Path) -> None:
    """What was read is remembered for the file as it was."""
    tags, path = ContentTags(), tmp_path / "a"
    found = set()
    for text in ("one", "two"):
        part = tmp_path / "part"
        part.write_text(text)
        os.utime(part, (0, 0))
        part.replace(path)
        found.add(tags.of(str(path), path.stat()))
    assert len(found) == 2


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/", "page 01"),
        ("/a/path/of/the/page", "page 01"),
        ("/a/path/app.js", "script"),
        ("/a/path/none.js", "page 01"),
        ("/below/deep/file.txt", "deep"),
    ],
)
def test_one_page_answers_all_paths(guarded: Answers, path: str, text: str) -> None:
    """With the homepage that is named; a file of the top is found from any depth."""
    encoded = base64.b64encode(f"amy:{SECRET}".encode()).decode()
    status, answer = guarded.ask(path, f"Authorization: basic {encoded}")
    assert (status, text in answer) == (200, True), answer


@pytest.mark.parametrize(
    "said",
    [
        "",
        *("amy", "amy:", f":{SECRET}", f"amy:{SECRET[:-1]}", f"amy:{SECRET} "),
        *(f"AMY:{SECRET}", f"bob:{SECRET}", "amy:é"),
    ],
)
def test_a_wrong_password_reads_nothing(guarded: Answers, said: str) -> None:
    """Of a file that is there, and of one that is not."""
    encoded = base64.b64encode(said.encode()).decode()
    headers = {"", f"Authorization: Basic {encoded}", "Authorization: Basic !!"}
    headers |= {f"Authorization: Bearer {encoded}", f"Authorization: {encoded}"}
    for header in headers:
        for path in ("/page.html", "/nothing"):
            status, answer = guarded.ask(path, *([header] if header else []))
            assert (status, "page 01" in answer) == (401, False)
            assert "www-authenticate: Basic" in answer


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({site.PORT: "0"}, "is no port"),
        ({site.PORT: "65536"}, "is no port"),
        ({site.PORT: "8_0"}, "is no port"),
        ({site.PORT: "eight"}, "is no port"),
        ({site.PATH: "/nonexistent"}, "no directory /nonexistent"),
        ({site.AUTHENTICATION: "true"}, "a name and a password are needed"),
        ({site.AUTHENTICATION: "true", site.USERNAME: "a"}, "a name and a password"),
        ({site.PASSWORD: "a"}, "a name and a password"),
        ({site.USERNAME: "a:b", site.PASSWORD: "c"}, "no colon"),
        ({site.LISTING: "true"}, "not listed"),
    ],
)
def test_settings_that_are_wrong_are_refused(
    variables: dict[str, str], reason: str
) -> None:
    """Above all: what asks for a password and has none is not open to everybody."""
    with pytest.raises(ValueError, match=reason):
        read([], variables)


def test_a_link_is_followed_once(root: Path, tmp_path: Path) -> None:
    """What it names later is for the next generation."""
    link = tmp_path / "current"
    link.symlink_to(root)
    assert read([], {site.PATH: str(link)}).directory == str(root)
    assert read([str(link), "81"], {}).port == 81
