"""`gapless watch`: no app waits for another, it ends cleanly, it names what fails."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rig.fixtures.push_target import PushTarget
from rig.hosts.host import GAPLESS, Host
from rig.programs.etcd import Etcd
from rig.wait import until

Make = Callable[..., PushTarget]


@pytest.fixture
def make(host: Host) -> Iterator[Make]:
    """Make release servers; all are removed after the test."""
    made: list[PushTarget] = []

    def build(release: str = "build = []") -> PushTarget:
        made.append(PushTarget(host, release))
        return made[-1]

    try:
        yield build
    finally:
        for each in made:
            each.close()


def gate(at: PushTarget, name: str) -> tuple[str, Path]:
    """Return a build that waits until a pipe is opened, and the pipe."""
    path = at.directory / name
    os.mkfifo(path)
    return f'build = ["sh", "-c", "cat {path}"]', path


def begin(at: PushTarget, target: str, *options: str) -> subprocess.Popen[str]:
    """Push and wait, in the background."""
    return subprocess.Popen(
        [str(GAPLESS), *at.words(target, "--wait", *options, by="mounted")],
        cwd=at.laptop,
        env=at.host.environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_long_build_of_one_app_holds_no_other_up(make: Make) -> None:
    """The other app is published while the first is still building."""
    at = make()
    build, path = gate(at, "gate")
    at.configure(slow=build, example="build = []")
    at.files("slow", {"VERSION": "1"})
    at.watch()
    slow = begin(at, "slow")
    until(lambda: "slow: builds" in at.watch_log(), "the build of slow")
    done = at.push("example", "--wait", by="mounted")
    assert done.returncode == 0, done.stdout + done.stderr
    assert slow.poll() is None
    with path.open("w"):
        pass
    assert slow.wait(30) == 0
    slow.communicate()


def test_sigterm_ends_it_after_the_step_in_hand(make: Make) -> None:
    """The build is thrown away; the upload is in the inbox for the next watch."""
    at = make()
    build, path = gate(at, "gate")
    at.configure(example=build)
    at.watch()
    push = begin(at, "example")
    until(lambda: "example: builds" in at.watch_log(), "the build")
    at.signal_watch(signal.SIGTERM)
    until(
        lambda: "ending after the current step" in at.watch_log(),
        "the signal to be heard",
    )
    with path.open("w"):
        pass
    assert at.wait_for_watch() == 0, at.watch_log()
    assert len(at.tarballs()) == 1
    assert at.releases() == []
    at.configure(example="build = []")
    at.watch()
    assert push.wait(30) == 0
    said = push.communicate()[0]
    assert "waiting: example: " in said
    assert len(at.releases()) == 1


def test_a_second_signal_ends_it_at_once_and_the_next_takes_up(make: Make) -> None:
    """The build that was begun is ended with it: two builds never run at once."""
    at = make()
    build, _ = gate(at, "gate")
    at.configure(example=build)
    at.watch()
    push = begin(at, "example")
    until(lambda: "example: builds" in at.watch_log(), "the build")
    at.signal_watch(signal.SIGTERM)
    until(
        lambda: "ending after the current step" in at.watch_log(),
        "the signal to be heard",
    )
    at.signal_watch(signal.SIGTERM)
    assert at.wait_for_watch() == 1
    at.configure(example="build = []")
    at.watch()
    assert push.wait(30) == 0
    push.communicate()
    assert len(at.releases()) == 1


@pytest.mark.parametrize("goes", ["before", "in between"])
def test_a_coordinator_that_is_away_is_waited_for(make: Make, goes: str) -> None:
    """The upload stays, its outcome is waiting, and the release is not built again."""
    at = make()
    etcd = Etcd(at.directory / "etcd")
    hook = at.directory / "hook"
    at.configure(
        example=f'build = []\nhooks = {{ before_flip = ["sh", "{hook}"] }}\n'
        f'[rollout.example]\n[coordinator]\netcd = ["{etcd.url}"]\n'
    )
    hook.write_text(f"echo x >> {at.base}/hooks\n")
    try:
        if goes == "in between":
            pid = etcd.start().pid
            with hook.open("a") as file:
                file.write(f"kill -9 {pid}\n")
        at.watch()
        push = begin(at, "example")
        told = at.base / "outcomes"
        until(
            lambda: "waiting" in "".join(p.read_text() for p in told.glob("*.json")),
            "it",
        )
        etcd.kill()
        etcd.start()
        until(lambda: "example: rollout 1 to" in at.watch_log(), "the rollout", 30)
        assert (at.base / "hooks").read_text() == "x\n"
        until(lambda: not at.left(), "an empty inbox")
        push.send_signal(signal.SIGINT)
        assert push.wait(20) == 130
        assert "waiting: etcd does not answer" in push.communicate()[0]
    finally:
        etcd.kill()


def test_what_failed_is_moved_aside_named_and_not_tried_again(make: Make) -> None:
    """The next upload of the same app is tried."""
    at = make('build = ["sh", "-c", "cat VERSION >> ../../../built; exit 3"]')
    at.files("example", {"VERSION": "1\n"})
    at.watch()
    for version in ("1\n", "2\n"):
        at.files("example", {"VERSION": version})
        assert at.push("example", "--wait", by="mounted").returncode == 1
    assert (at.base / "built").read_text() == "1\n2\n"
    reasons = list((at.base / "refused" / "example").glob("*.reason.txt"))
    assert len(reasons) == 2
    assert at.watch_log().count("the build failed") == 2
    assert at.watch_log().count("was refused, and is kept as") == 2


def test_what_the_disk_refused_stays_and_is_tried_again_when_it_changes(
    make: Make,
) -> None:
    """It is not tried each half second: it is named once, and its push ends."""
    at = make()
    at.files("example", {"noise": os.urandom(400_000).hex()})
    at.files("small", {"VERSION": "1"})
    at.watch("bash", "-c", 'ulimit -f 512; exec "$@"', "bash")
    big = at.push("example", "--wait", by="mounted")
    assert big.returncode == 1
    assert "file too large" in big.stdout
    (tarball,) = at.tarballs()
    for _ in range(2):  # the inbox is read several times meanwhile
        done = at.push("small", "--app", "example", "--wait", by="mounted")
        assert done.returncode == 0, done.stdout
    assert at.watch_log().count(f"took {tarball}") == 1
    assert f"{tarball} is not tried again until it changes" in at.watch_log()
    (at.inbox / tarball).touch()
    until(lambda: at.watch_log().count(f"took {tarball}") == 2, "another try")


def test_an_inbox_that_cannot_be_read_is_named_and_looked_at_again(make: Make) -> None:
    """A shared directory may be away for a moment; the watch goes on."""
    at = make()
    at.inbox.symlink_to(at.inbox)  # a loop: it cannot be read
    at.watch()
    until(lambda: "gapless: example:" in at.watch_log(), "the trouble to be named")
    at.inbox.unlink()
    done = at.push("example", "--wait", by="mounted")
    assert done.returncode == 0, done.stdout + at.watch_log()


def test_old_accounts_go(make: Make) -> None:
    """The newest two hundred stay."""
    at = make()
    told = at.base / "outcomes"
    told.mkdir(parents=True)
    for number in range(250):
        (told / f"old-{number}.json").write_text("{}")
        os.utime(told / f"old-{number}.json", (number, number))
    at.watch()
    assert at.push("example", "--wait", by="mounted").returncode == 0
    names = {path.name for path in told.iterdir()}
    assert len(names) == 200
    assert "old-249.json" in names
    assert "old-0.json" not in names
