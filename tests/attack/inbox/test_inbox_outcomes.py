"""What became of an upload is said by the publisher alone."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from gapless.push import outcome, ssh_scripts
from gapless.push.mounted_transport import MountedTransport
from gapless.push.outcome import Outcome, Stage
from gapless.releases.inbox import (
    refused,
)
from gapless.releases.model import ReleaseSpec
from rig.fixtures.inbox import Watch

UPLOADER = 65534


# --- outcomes and the old layout -------------------------------------------------------


def _record(name: str, *, app: str = "shop", stage: Stage = Stage.PUBLISHING) -> bytes:
    return outcome.encode(Outcome(upload=name, app=app, stage=stage))


@pytest.mark.timeout(20)
def test_outcomes_of_the_old_layout_are_read_with_distrust(
    watch: Watch, inbox: Path, tmp_path: Path
) -> None:
    """The publisher's own are gone on with; links, pipes and words of others are not."""
    old = inbox / ".outcomes"
    old.mkdir()
    (old / "shop-1.tar.json").write_bytes(_record("shop-1.tar"))
    (old / "shop-2.tar.json").write_bytes(_record("shop-2.tar"))
    os.chown(old / "shop-2.tar.json", UPLOADER, UPLOADER)
    (old / "shop-3.tar.json").write_bytes(_record("../../evil"))
    (tmp_path / "own").write_bytes(_record("shop-4.tar"))
    (old / "shop-4.tar.json").symlink_to(tmp_path / "own")
    os.link(tmp_path / "own", old / "shop-5.tar.json")
    os.mkfifo(old / "shop-6.tar.json")
    (old / "shop-7.tar.json").write_bytes(b"[" * 100_000)
    with (old / "shop-8.tar.json").open("wb") as file:
        file.truncate(1 << 40)
    watch.outcomes.load()
    found = [each.upload for each in watch.outcomes.unfinished("shop")]
    assert found == ["shop-1.tar"]
    watch.check()
    assert watch.outcome("shop-1.tar").stage is Stage.FAILED
    assert sorted(os.listdir(tmp_path / outcome.FOLDER)) == ["shop-1.tar.json"]


def test_a_reason_of_the_old_layout_is_read_with_distrust(
    spec: ReleaseSpec, inbox: Path, tmp_path: Path
) -> None:
    """It is not read by a link to a private file, nor from a folder that is a link."""
    old = inbox / "refused"
    old.mkdir()
    (old / "shop-1.tar").write_bytes(b"")
    (old / "shop-1.tar.reason.txt").write_text("2026-11-01T00:00:00 it was broken\n")
    assert refused.reason_of(spec, "shop-1.tar") == "it was broken"
    (tmp_path / "private").write_text("x private words")
    (old / "shop-2.tar").write_bytes(b"")
    (old / "shop-2.tar.reason.txt").symlink_to(tmp_path / "private")
    assert refused.reason_of(spec, "shop-2.tar") == "it was refused"
    assert refused.reason_of(spec, "../../private") == ""
    old.rename(tmp_path / "moved")
    old.symlink_to(tmp_path / "moved")
    assert refused.reason_of(spec, "shop-1.tar") == ""


def _lines(base: Path, name: str, by: str) -> list[bytes]:
    """Return what a pusher reads in about a second."""
    if by == "ssh":
        words = ["sh", "-c", ssh_scripts.FOLLOW, "gapless", str(base), name, "1"]
        done = subprocess.run(words, capture_output=True, check=True)
        return done.stdout.splitlines()
    left = iter([1.0, 0.0])
    return list(MountedTransport(str(base)).outcome_lines(name, lambda: next(left)))


@pytest.mark.parametrize("by", ["ssh", "mounted"])
@pytest.mark.timeout(20)
def test_an_uploader_cannot_say_what_became_of_an_upload(
    watch: Watch, inbox: Path, by: str
) -> None:
    """What lies in src/ counts only where the publisher is of an earlier version."""
    old = inbox / ".outcomes"
    old.mkdir()
    forged = _record("shop-1.tar", stage=Stage.DONE)
    (old / "shop-1.tar.json").write_bytes(forged)
    base = inbox.parent
    assert forged.strip() in [each.strip() for each in _lines(base, "shop-1.tar", by)]
    watch.outcomes.load()
    assert _lines(base, "shop-1.tar", by)[-1] == b"gone"
    assert not [each for each in _lines(base, "shop-1.tar", by) if b"{" in each]
    os.mkfifo(base / outcome.FOLDER / "shop-2.tar.json")
    assert b"gone" in _lines(base, "shop-2.tar", by)


@pytest.mark.parametrize("suffix", ["", ".sha256"])
def test_an_upload_by_ssh_is_not_written_through_a_link(
    inbox: Path, tmp_path: Path, suffix: str
) -> None:
    """Another uploader has seen the name of the part, and is quick."""
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (inbox / f".shop-1.tar.part{suffix}").symlink_to(victim)
    content = b"x" * 10
    words = [str(tmp_path), "shop-1.tar", "10", hashlib.sha256(content).hexdigest()]
    done = subprocess.run(
        ["sh", "-c", ssh_scripts.UPLOAD, "gapless", *words],
        input=content,
        capture_output=True,
        check=False,
    )
    assert victim.read_text() == "kept"
    assert done.returncode == ssh_scripts.NOT_WRITTEN
    assert not (inbox / "shop-1.tar").exists()
