"""The check that the site's pages load nothing from another host."""

from __future__ import annotations

from pathlib import Path

import pytest

from rig.site import loads_from_elsewhere


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/a.js"></script>',
        '<link rel="stylesheet" href="//cdn.example/a.css">',
        '<img alt="" src="http://cdn.example/a.png">',
    ],
)
def test_what_a_page_loads_from_elsewhere_is_named(tmp_path: Path, text: str) -> None:
    """It names the page and the address."""
    (tmp_path / "index.html").write_text(text)
    (found,) = loads_from_elsewhere(tmp_path)
    assert "index.html" in found
    assert "cdn.example" in found


def test_a_style_that_loads_from_elsewhere_is_named(tmp_path: Path) -> None:
    """So are the fonts of a style sheet."""
    (tmp_path / "a.css").write_text("p { src: url('https://cdn.example/a.woff2') }")
    assert "cdn.example" in loads_from_elsewhere(tmp_path)[0]


def test_links_and_own_files_are_no_fault(tmp_path: Path) -> None:
    """A link loads nothing before somebody follows it."""
    text = '<a href="https://a.example/">a</a><img alt="" src="_static/a.png">'
    (tmp_path / "index.html").write_text(text)
    (tmp_path / "a.css").write_text("p { background: url(a.png) }")
    assert not loads_from_elsewhere(tmp_path)
