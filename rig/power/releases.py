"""What a publisher does, and what of its releases is there after a loss of power."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import tarfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from gapless.base import codec, files
from gapless.releases import current, file_state
from gapless.releases.inbox import checksums, taken
from gapless.releases.model import RELEASE_FILE, ReleaseSpec
from gapless.releases.publisher import journal
from rig.hosts.host import GAPLESS, Host
from rig.power.recording import Moment, Recording

FIRST_STAMP = "20260101000000"
FILES = 3
"""In each release, each in a folder of its own."""
FIRST = "0"
"""The version that is there already."""
PUSHED = "3"
"""The version that is pushed, and not published by a step of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command, and the version that the link names from then on."""

    words: tuple[str, ...]
    links: str


def _publish(version: str) -> Step:
    return Step(words=("publish", f"disk/dfs/src/shop-{version}.tar.gz"), links=version)


SHORT = (_publish("1"), Step(words=("rollback", "shop"), links=FIRST))
LONG = (
    _publish("1"),
    _publish("2"),
    Step(words=("rollback", "shop"), links="1"),
    Step(words=("push", "--to", "disk/dfs", "pushed/shop.tar.gz"), links="1"),
    Step(words=("watch", "--once"), links=PUSHED),
    Step(words=("rollback", "shop"), links="2"),  # the newest before that one
    Step(words=("publish", "disk/dfs/src/shop-bad.tar.gz"), links="2"),
)


class Publisher:
    """A release server that has done some steps, under a recorder; no app runs."""

    def __init__(self, directory: Path, steps: tuple[Step, ...]) -> None:
        """Do all of them."""
        self.steps, self.host = steps, Host(directory)
        self.root = directory / "disk"
        self.base = self.root / "dfs"
        self.spec = ReleaseSpec(app="shop", base=str(self.base), keep=9)
        inbox = self.base / "src"
        beside, pushed = directory / "beside", directory / "pushed"
        for each in (inbox, self.base / "dist", beside, pushed):
            each.mkdir(parents=True)
        self.uploads = {
            version: _pack(inbox / f"shop-{version}.tar.gz", version)
            for step in steps
            for version in step.words[1:2]
            if step.words[0] == "publish" and "bad" not in version
            for version in (step.links,)
        }
        if any("bad" in step.words[-1] for step in steps):
            (inbox / "shop-bad.tar.gz").write_bytes(b"no tarball" * 100)
        _unpacked(self.base / "dist" / f"shop-{FIRST_STAMP}")
        Path(self.spec.link).symlink_to(f"shop-{FIRST_STAMP}")
        _pack(pushed / "shop.tar.gz", PUSHED)
        self.host.configure(
            '[app.shop]\ncommand = ["true"]\ndirectory = "disk/dfs/dist/shop"\n'
            '[release.shop]\nbase = "disk/dfs"\nbuild = []\nkeep = 9\n'
        )
        self.recording = Recording(self.root, beside, self.host.environment)
        try:
            for step in steps:
                argv = [str(GAPLESS), *step.words]
                code, output = self.recording.run(argv, directory=directory)
                is_bad = "bad" in step.words[-1]
                assert (code != 0) is is_bad, f"{step.words}: {output}"
        finally:
            self.recording.end()

    # --- what must be so --------------------------------------------------------------

    def links(self, moment: Moment) -> list[str]:
        """Return the versions that the link may name at a moment."""
        told = [FIRST, *(step.links for step in self.steps)]
        return told[moment.done : moment.begun + 1]

    def faults(self, moment: Moment) -> list[str]:
        """Return what is wrong with what lies there."""
        releases = current.releases(self.spec)
        wrong = [
            f"{release.name} is not whole"
            for release in releases
            if not _is_whole(Path(release.path))
        ]
        linked, possible = self._linked(), self.links(moment)
        if linked not in possible:
            wrong.append(f"the link names {linked!r}, not {possible}")
        versions = self._versions()
        for number, step in enumerate(self.steps[: moment.begun], 1):
            if step.words[0] != "publish" or "bad" in step.words[1]:
                continue
            upload = self.base / "src" / f"shop-{step.links}.tar.gz"
            is_there = (
                upload.exists() and upload.read_bytes() == self.uploads[step.links]
            )
            if versions[step.links] + is_there < 1:
                wrong.append(f"the upload {step.links} is lost")
            if number <= moment.done and (is_there or versions[step.links] != 1):
                wrong.append(f"{step.links} is in the inbox again, or no release")
        if moment.begun == moment.done:
            now = current.current(self.spec)
            if now is not None and not now.is_proven:
                wrong.append(f"{now.name} is current, and not proven any more")
            if moment.done and journal.read(self.spec) is not None:
                wrong.append("what was done is still in the journal")
            if now is not None and linked != FIRST and not self._is_reported(now.name):
                wrong.append(f"the report of {now.name} is gone")
        for step in self.steps[moment.done : moment.begun]:
            wrong += [
                f"{release.name} is reported, and the link names {linked}"
                for release in releases
                if Path(release.path, "VERSION").read_text() == step.links != linked
                if step.words[0] == "publish" and self._is_reported(release.name)
            ]
        wrong += self._wrong_uploads()
        return wrong

    def _wrong_uploads(self) -> list[str]:
        """Return uploads that have their name, and are not what was pushed."""
        wrong = []
        for path in (self.base / "src").glob("shop-*.tar.gz"):
            expected = checksums.expected(str(path))
            if (
                expected
                and hashlib.sha256(path.read_bytes()).hexdigest() != expected[1]
            ):
                wrong.append(f"{path.name} is not what its checksum file says")
        return wrong

    def go_on(self, moment: Moment) -> list[str]:
        """Let the next publisher come; return what is wrong then."""
        self._keep_identities()
        done = self.host.gapless("watch", "--once")
        wrong = []
        if done.returncode not in (0, 1) or "Traceback" in done.stdout + done.stderr:
            wrong.append(f"watch: {done.returncode} {done.stdout}{done.stderr}")
        versions = self._versions()
        more = [f"{v} became {n} releases" for v, n in versions.items() if n != 1]
        more += [f"{v} became no release" for v in self.uploads if not versions[v]]
        # What a push has left goes with the next push, and so it is with a publish that
        # had written nothing else.
        left = [
            path
            for folder in ("reports", "outcomes")
            for path in (self.base / folder).rglob("*.part")
        ]
        left += (self.base / "src").glob("shop-*.tar.gz")
        if journal.read(self.spec) is not None:
            left.append(Path(journal.path_of(self.spec)))
        wrong += more + [
            f"left: {path}" for path in left if path.name != "shop-bad.tar.gz"
        ]
        if self._linked() == "":
            wrong.append("there is no link")
        if moment.begun == moment.done == len(self.steps):
            wrong += self.faults(moment)
        return wrong

    def _is_reported(self, release: str) -> bool:
        path = Path(self.spec.reports_of(release), f"{socket.gethostname()}.json")
        return path.exists() and json.loads(path.read_text())["outcome"] == "done"

    def _keep_identities(self) -> None:
        """Let the journal name the upload that lies there.

        It names it by its inode and its time, which a real disk keeps, and this rig not.
        """
        change = journal.read(self.spec)
        if change is None or change.source_state is None:
            return
        for path in (
            Path(change.source),
            Path(self.spec.work, f"{taken.TAKEN}{change.upload}"),
        ):
            if found := file_state.state_of(str(path)):
                kept = replace(change, source_state=found)
                files.write_json(journal.path_of(self.spec), codec.encode(kept))

    def _linked(self) -> str:
        path = Path(self.spec.link, "VERSION")
        return path.read_text() if path.exists() else ""

    def _versions(self) -> Counter[str]:
        found = (Path(r.path, "VERSION") for r in current.releases(self.spec))
        return Counter(path.read_text() for path in found if path.exists())


def _pack(path: Path, version: str) -> bytes:
    contents = {"shop/VERSION": version} | {
        f"shop/{n}/file": f"{n} of {version}\n" * 100 for n in range(FILES)
    }
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
    return path.read_bytes()


def _unpacked(path: Path) -> None:
    """Write the release that is there already."""
    for n in range(FILES):
        (path / str(n)).mkdir(parents=True)
        (path / str(n) / "file").write_text(f"{n} of {FIRST}\n" * 100)
    (path / "VERSION").write_text(FIRST)
    (path / RELEASE_FILE).write_text(f"{FIRST_STAMP}\n")


def _is_whole(path: Path) -> bool:
    version = (path / "VERSION").read_text() if (path / "VERSION").exists() else ""
    wanted = [f"{n} of {version}\n" * 100 for n in range(FILES)]
    found = [path / str(n) / "file" for n in range(FILES)]
    stamp = (path / RELEASE_FILE).read_text().strip()
    return (
        bool(version)
        and len(stamp) == 14
        and [each.read_text() if each.exists() else "" for each in found] == wanted
    )
