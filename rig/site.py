"""Check a site that was built: its pages load nothing from another host.

`python -m rig.site DIRECTORY` names what they load, and ends with code 1 then.
"""

from __future__ import annotations

import html.parser
import re
import sys
from pathlib import Path

LOADS = {
    ("img", "src"),
    ("script", "src"),
    ("link", "href"),
    ("iframe", "src"),
    ("source", "src"),
    ("object", "data"),
}
"""The attributes whose files a browser loads with a page; a link loads when followed."""
ELSEWHERE = re.compile(r"(?:[a-z]+:)?//", re.IGNORECASE)
IN_STYLES = re.compile(
    r"(?:url\(|@import)\s*['\"]?((?:[a-z]+:)?//[^'\")\s]+)", re.IGNORECASE
)


class Page(html.parser.HTMLParser):
    """Collects what a page loads from other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        self.found += [
            value
            for name, value in attrs
            if (tag, name) in LOADS and value and ELSEWHERE.match(value)
        ]


def loads_from_elsewhere(directory: Path) -> list[str]:
    """Return each file of a site with what it loads from another host."""
    found = []
    for path in sorted(directory.rglob("*")):
        if path.suffix == ".html":
            page = Page()
            page.feed(path.read_text())
            found += [f"{path}: {each}" for each in page.found]
        elif path.suffix in (".css", ".svg"):
            text = path.read_text()
            found += [f"{path}: {each}" for each in IN_STYLES.findall(text)]
    return found


if __name__ == "__main__":
    sys.exit("\n".join(loads_from_elsewhere(Path(sys.argv[1]))) or None)
