"""The page for Next.js, which is installed and built by npm."""

from __future__ import annotations

import contextlib
import shutil
import urllib.request
from pathlib import Path

import pytest

from rig.fixtures.howto import HowTo
from rig.hosts.host import ROOT, Host
from rig.load import engine
from rig.load.process import Load, run_load
from rig.wait import free_port

LAYOUT = """
export default function Layout({ children }) {
  return <html><body>{children}</body></html>;
}
"""
TITLED = LAYOUT.replace("<html>", '<html title="release 1 ">')
"""It names the release at the beginning of the answer, where a strict client looks."""
PAGE = """
export const dynamic = 'force-dynamic';
export default function Page() {
  return <p title="release 1">found</p>;
}
"""
KEPT = engine.Traffic(
    kind="kept", concurrency=2, keep_alive=True, pause_s=0.2, timeout_s=60
)
PACED = engine.Traffic(kind="new", concurrency=2, pause_s=0.2, timeout_s=60)


@pytest.mark.soak
def test_nextjs(host: Host, tmp_path: Path) -> None:
    """A page is built twice; the files of the first build are served to the end."""
    port = free_port()
    page = HowTo(
        host,
        "nextjs",
        **{"listen 80": f"listen 127.0.0.1:{port}", "3000": str(free_port())},
    )
    page.lay_out(only="proxy_pass")
    page.lay_out(only=".bin/next")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "rig/programs/nextjs" / name, page.path("/home/ada/shop"))
    first = {"app/layout.js": LAYOUT, "app/page.js": PAGE}
    newer = {"app/page.js": PAGE.replace("found", "found again")}
    page.write("/home/ada/shop", first)
    static, built = page.path("/srv/shop/static"), set[str]()

    def files() -> set[str]:
        return {str(each.relative_to(static)) for each in static.rglob("*.js")}

    def change() -> None:
        built.update(files())
        page.write("/home/ada/shop", newer)

    def status(name: str) -> int:
        address = f"http://127.0.0.1:{port}/_next/static/{name}"
        with urllib.request.urlopen(address, timeout=60) as answer:
            return int(answer.status)

    with page.nginx(tmp_path):
        page.follow(port, {("gapless push", 2): change}, traffic=(PACED,))
        assert built < files()
        assert {status(name) for name in built} == {200}
    assert host.app("shop")["generation"] == 2


@pytest.mark.soak
def test_nextjs_standalone(host: Host, tmp_path: Path) -> None:
    """Three releases of the program that the build makes, by nginx and without it."""
    port, direct = free_port(), free_port()
    page = HowTo(
        host,
        "nextjs",
        **{"listen 80": f"listen 127.0.0.1:{port}", "3000": str(direct)},
    )
    page.lay_out(only="proxy_pass")
    page.lay_out(only="standalone/server.js")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "rig/programs/nextjs" / name, page.path("/home/ada/shop"))
    first = {
        "app/layout.js": TITLED,
        "app/page.js": PAGE,
        "public/robots.txt": "of release 1",
        "next.config.mjs": page.block("javascript"),
    }
    page.write("/home/ada/shop", first)
    page.text += page.text[page.text.rindex("```console") :]  # one release more
    loads: list[Load] = []

    def change(number: int) -> None:
        newer = {
            "app/layout.js": TITLED.replace("release 1", f"release {number}"),
            "public/robots.txt": f"of release {number}",
        }
        page.write("/home/ada/shop", newer)

    def got(path: str) -> str:
        address = f"http://127.0.0.1:{direct}/{path}"
        with urllib.request.urlopen(address, timeout=60) as answer:
            return str(answer.read().decode())

    def second() -> None:
        assert got("robots.txt") == "of release 1"
        loads.append(stack.enter_context(run_load(direct, KEPT, seconds=3600)))
        change(2)

    acts = {("gapless push", 2): second, ("gapless push", 3): lambda: change(3)}
    with page.nginx(tmp_path), contextlib.ExitStack() as stack:
        versions = page.follow(port, acts, traffic=(PACED,))
        assert set(versions) == {"1", "2", "3"}
        (load,) = loads
        load.wait_for_version("3")
        report = load.stop()
        assert report.lost == 0, str(report)
    assert got("robots.txt") == "of release 3"
    release = page.path("/srv/shop/dist/shop")
    built = {
        str(each.relative_to(release / ".next/standalone/.next/static"))
        for each in (release / ".next/standalone/.next/static").rglob("*.js")
    }
    assert built
    for name in built:
        assert got(f"_next/static/{name}")
        assert (page.path("/srv/shop/static") / name).is_file()
    assert not (release / "node_modules").exists()
    assert host.app("shop")["generation"] == 3
