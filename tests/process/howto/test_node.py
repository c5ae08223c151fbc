"""The page for Next.js, which is installed and built by npm."""

from __future__ import annotations

import shutil
import urllib.request
from pathlib import Path

import pytest

from rig.fixtures.howto import HowTo
from rig.hosts.host import ROOT, Host
from rig.load import engine
from rig.wait import free_port

LAYOUT = """
export default function Layout({ children }) {
  return <html><body>{children}</body></html>;
}
"""
PAGE = """
export const dynamic = 'force-dynamic';
export default function Page() {
  return <p title="release 1">found</p>;
}
"""
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
    page.lay_out()
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
