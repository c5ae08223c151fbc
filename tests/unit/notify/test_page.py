"""docs/notify.md says what there is."""

from __future__ import annotations

import re

import msgspec

from gapless.config.toml.notify import CHOICES
from gapless.config.toml.notify_schema import Notify
from gapless.notify.model import MEANINGS, SEVERITIES, Kind
from rig.hosts.host import ROOT

PAGE = (ROOT / "docs" / "notify.md").read_text()


def test_the_page_has_every_event() -> None:
    """With its severity, and as the file may choose it."""
    rows = [
        f"| `{kind.value}` | {SEVERITIES.get(kind, 'error')} | {meaning} |"
        for kind, meaning in MEANINGS.items()
    ]
    assert "\n".join(rows) in PAGE
    assert set(MEANINGS) == set(Kind)
    assert {*CHOICES, "test"} == {kind.value for kind in Kind}


def test_the_page_has_every_key() -> None:
    """And no other."""
    rows = PAGE.partition("## The keys")[2].partition("\n## ")[0].splitlines()
    named = [name for row in rows for name in re.findall(r"`([a-z_]+)`", row[:25])]
    keys = {each.name for each in msgspec.structs.fields(Notify)}
    assert keys <= set(named)
