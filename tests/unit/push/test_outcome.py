"""The record of an outcome: one line, checksummed, readable by other versions."""

from __future__ import annotations

import dataclasses

import pytest

from gapless.push import outcome
from gapless.push.outcome import Outcome, Stage
from gapless.rollout import records

ROLLING = Outcome(
    upload="shop-1.tar.gz", app="shop", stage=Stage.ROLLING, release="shop-1", rollout=3
)


def test_a_record_is_one_line_and_comes_back_as_it_was() -> None:
    """`gapless push` reads lines."""
    written = dataclasses.replace(ROLLING, detail="the build failed:\n    line 'two'")
    content = outcome.encode(written)
    assert content.count(b"\n") == 1
    assert outcome.decode(content) == written


def test_what_a_newer_release_server_adds_is_left_out() -> None:
    """An older `gapless push` would otherwise miss the end."""
    value = records.decode("upload", outcome.encode(ROLLING))
    newer = records.encode("upload", value | {"weather": "fine"})
    assert outcome.decode(newer) == ROLLING


@pytest.mark.parametrize("change", [b'"rolling"', b'"shop-1"'])
def test_a_record_that_was_changed_is_refused(change: bytes) -> None:
    """A record holds its checksum."""
    content = outcome.encode(ROLLING).replace(change, b'"done"')
    with pytest.raises(ValueError, match="checksum"):
        outcome.decode(content)
