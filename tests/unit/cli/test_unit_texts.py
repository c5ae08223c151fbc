"""The unit on the page about systemd is the one that `gapless startup` writes."""

from __future__ import annotations

from pathlib import Path

from gapless.cli.units import texts

PAGE = Path(__file__).parents[3] / "docs" / "systemd.md"
OF = texts.UnitOf(
    user="deploy",
    home="/home/deploy/.gapless",
    path="/usr/local/bin:/usr/bin:/bin",
    command="/opt/gapless/bin/gapless",
)


def test_the_unit_on_the_page_is_the_one_that_is_written() -> None:
    """Word for word, so that nobody compares two of them."""
    _, _, after = PAGE.read_text().partition("```ini\n")
    shown, _, _ = after.partition("```")
    assert shown == texts.supervisor(OF)
