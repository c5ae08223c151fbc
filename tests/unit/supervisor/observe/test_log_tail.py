"""The last lines of a generation, of whatever an app may print."""

from __future__ import annotations

from pathlib import Path

from gapless.supervisor.observe import log_tail

OLD = "2026-11-29T23:27:28.319+00:00 1.0 out | 10%\r20%\x85\u2028done"
NEW = "2026-11-29T23:27:28.320+00:00 2.0 err | 10%\r20%"


def test_a_line_ends_at_a_newline_alone(tmp_path: Path) -> None:
    """What draws its progress is no other generation's."""
    log = tmp_path / "log"
    log.write_text(f"{OLD}\n{NEW}\n{OLD}\n", newline="")
    assert log_tail.last_lines({str(log): 0}, 2) == ["10%\r20%"]


def test_an_object_that_is_too_deep_is_a_text(tmp_path: Path) -> None:
    """An app must not end the supervisor by what it prints."""
    deep = '{"message":' + "[" * 10_000
    log = tmp_path / "log"
    log.write_text(f"{deep}\n")
    assert log_tail.last_lines({str(log): 0}, 2) == [deep]
