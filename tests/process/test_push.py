"""`gapless push` through a real sshd or into a directory: whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rig.fixtures.push_target import PushTarget
from rig.hosts.host import GAPLESS, Host
from rig.wait import until

WAYS = ["ssh", "mounted"]
Make = Callable[..., PushTarget]


@pytest.fixture
def make(host: Host) -> Iterator[Make]:
    """Make release servers, each with a running sshd; all are removed after the test."""
    made: list[PushTarget] = []

    def build(release: str = "build = []") -> PushTarget:
        made.append(PushTarget(host, release))
        made[-1].sshd.start()
        return made[-1]

    try:
        yield build
    finally:
        for each in made:
            each.close()


@pytest.mark.parametrize("by", WAYS)
def test_a_directory_becomes_a_release_and_its_pusher_is_told(
    make: Make, by: str
) -> None:
    """Modes and links are kept; what is left out is named; the inbox is empty then."""
    at = make()
    app = at.files(
        "example", {"run.sh": "exit 0", "node_modules/x/y": "", ".git/z": ""}
    )
    (app / "run.sh").chmod(0o755)
    (app / "link").symlink_to("index.js")
    os.mkfifo(app / "pipe")
    at.watch()
    done = at.push("example", "--wait", by=by)
    assert done.returncode == 0, done.stdout + done.stderr + at.watch_log()
    assert "left out: .git/, node_modules/, pipe (a pipe)" in done.stdout
    (release,) = at.releases()
    assert f"example: {release.name} done" in done.stdout
    assert sorted(p.name for p in release.iterdir()) == [
        "RELEASE",
        "index.js",
        "link",
        "run.sh",
    ]
    assert (release / "link").readlink() == Path("index.js")
    assert (release / "run.sh").stat().st_mode & 0o777 == 0o755
    assert at.left() == []


def test_the_configuration_says_where_to_push(make: Make) -> None:
    """`push` in [release.NAME]; --to and GAPLESS_PUSH_TO take precedence over it."""
    at = make()
    text = f'[release.example]\nbase = "x"\npush = "{at.sshd.to(at.base)}"\n'
    (at.laptop / "gapless.toml").write_text(text)
    words = ("push", "example", "--ssh", at.sshd.command)
    at.host.ok(*words, cwd=at.laptop)
    assert len(at.tarballs()) == 1
    elsewhere = at.directory / "elsewhere"
    elsewhere.mkdir()
    environment = {"GAPLESS_PUSH_TO": str(elsewhere)}
    at.host.ok(*words, cwd=at.laptop, environment=environment)
    assert len(list((elsewhere / "src").glob("example-*.tar.gz"))) == 1
    os.unlink(at.laptop / "gapless.toml")
    done = at.host.gapless(*words, cwd=at.laptop)
    assert done.returncode == 2
    assert "push to which release server?" in done.stderr


@pytest.mark.parametrize(
    ("release", "said"),
    [
        ('build = ["sh", "-c", "echo compiling; exit 3"]', "compiling"),
        (
            'build = []\nhooks = { before_flip = ["sh", "-c", "echo locked; exit 5"] }',
            "the hook before_flip failed",
        ),
    ],
)
def test_a_release_that_cannot_be_made_is_told_to_its_pusher(
    make: Make, release: str, said: str
) -> None:
    """A build or a migration fails: the reason is printed, the exit code is 1."""
    at = make(release)
    at.watch()
    done = at.push("example", "--wait")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "refused" in done.stdout
    assert said in done.stdout
    assert len(list((at.base / "refused" / "example").glob("example-*.tar.gz"))) == 1


def test_a_tarball_that_is_broken_is_not_sent(make: Make) -> None:
    """A tarball that cannot be read to its end here could not be read there."""
    at = make()
    (at.laptop / "example.tar.gz").write_bytes(b"no tarball at all" * 100)
    done = at.push("example.tar.gz")
    assert done.returncode == 1
    assert "cannot be read to its end" in done.stderr
    assert at.left() == []


@pytest.mark.parametrize("by", WAYS)
def test_a_tarball_that_would_escape_is_refused_there_and_told(
    make: Make, by: str
) -> None:
    """The release server refuses it, and `gapless push` prints the reason."""
    at = make()
    with tarfile.open(at.laptop / "example-1.2.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("example/../../evil"))
    at.watch()
    done = at.push("example-1.2.tar.gz", "--app", "example", "--wait", by=by)
    assert done.returncode == 1
    assert "climbs out with .." in done.stdout


@pytest.mark.parametrize("by", WAYS)
def test_if_nobody_watches_that_is_said_and_the_wait_ends(make: Make, by: str) -> None:
    """Exit code 4; the upload stays for the next `gapless watch`."""
    at = make()
    done = at.push("example", "--wait", "--timeout", "2", by=by)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "is `gapless watch` running there" in done.stdout + done.stderr
    assert "no publisher took it" in done.stderr
    at.host.ok("watch", "--once")
    assert len(at.releases()) == 1


def test_uploads_wait_in_line_and_none_takes_the_place_of_another(make: Make) -> None:
    """Three pushes before `gapless watch`, two of them at once: three releases in order."""
    at = make()
    at.files("example", {"VERSION": "1"})
    assert at.push("example", by="mounted").returncode == 0
    both = []
    for version in ("2", "3"):
        at.files(f"v{version}", {"VERSION": version})
        words = at.words(f"v{version}", "--app", "example", "--wait", "--json")
        both.append(
            subprocess.Popen(
                [str(GAPLESS), *words],
                cwd=at.laptop,
                env=at.host.environment,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    until(lambda: len(at.tarballs()) == 3, "three uploads in the inbox")
    at.watch()
    told = [json.loads(each.communicate(timeout=60)[0])["outcome"] for each in both]
    assert [each["stage"] for each in told] == ["done", "done"]
    versions = {r.name: (r / "VERSION").read_text() for r in at.releases()}
    assert [versions[each["release"]] for each in told] == ["2", "3"]
    assert next(iter(versions.values())) == "1", "the oldest is taken first"
    assert at.left() == []


# --- what goes wrong on the way ---------------------------------------------------------


FLIP = (
    "python3 -c 'import sys; b = bytearray(sys.stdin.buffer.read()); "
    "b[len(b) // 2] ^= 1; sys.stdout.buffer.write(b)'"
)


@pytest.mark.parametrize(
    ("filtered", "said"),
    [(FLIP, "its checksum there is"), ("head -c 100", "100 of")],
)
def test_a_transfer_that_changes_what_is_sent_is_found_out(
    make: Make, filtered: str, said: str
) -> None:
    """A bit is flipped, or the end is cut off: nothing is left in the inbox."""
    at = make()
    done = at.push("example", ssh=at.filtered_ssh(filtered))
    assert done.returncode == 1
    assert "what arrived is not what was sent" in done.stderr
    assert said in done.stderr
    assert at.left() == []


def test_a_push_over_ssh_that_is_killed_leaves_nothing(make: Make) -> None:
    """The script there reads the end of input too early, and cleans up."""
    at = make()
    gate = at.directory / "gate"
    os.mkfifo(gate)
    at.files("example", {"noise": os.urandom(400_000).hex()})
    ssh = at.filtered_ssh(f"{{ head -c 65536; cat {gate}; }}")
    process = subprocess.Popen(
        [str(GAPLESS), *at.words("example", ssh=ssh)],
        cwd=at.laptop,
        env=at.host.environment,
        stdout=subprocess.DEVNULL,
    )
    until(lambda: [n for n in at.left() if n.endswith(".part")], "a part")
    process.kill()
    process.wait(20)
    with gate.open("wb"):
        pass  # the stalled connection ends
    at.wait_for_empty_inbox()


KILL = """
import os, signal, sys
sys.argv[:1] = ["gapless"]
from gapless import __main__
from gapless.push.upload import Upload
plain = Upload.pieces
def killing(self):
    for sent, piece in plain(self):
        yield sent, piece
        os.kill(os.getpid(), getattr(signal, os.environ["KILLED_BY"]))
Upload.pieces = killing
sys.exit(__main__.main())
"""


@pytest.mark.parametrize("number", ["SIGKILL", "SIGINT"])
def test_what_a_killed_push_left_in_a_directory_is_removed_by_the_next(
    make: Make, number: str
) -> None:
    """Its part has no lock any more; a push that is only interrupted cleans up itself."""
    at = make()
    python = Path(GAPLESS).parent / "python"
    killed = subprocess.run(
        [python, "-c", KILL, *at.words("example", by="mounted")],
        cwd=at.laptop,
        env=at.host.environment | {"KILLED_BY": number},
        capture_output=True,
        timeout=60,
        check=False,
    )
    if number == "SIGINT":
        assert killed.returncode == 130
        assert at.left() == []
        return
    assert killed.returncode == -signal.SIGKILL
    (part,) = at.left()
    assert part.startswith(".example-")
    os.utime(at.inbox / part, (1, 1))  # a part that is a moment old stays
    assert at.push("example", by="mounted").returncode == 0
    assert part not in at.left()


@pytest.mark.parametrize("known", ["nothing", "another key"])
def test_a_host_key_that_is_not_known_is_refused_and_shown(
    make: Make, known: str
) -> None:
    """Without a terminal no question is asked; the error of ssh is printed."""
    at = make()
    if known == "nothing":
        at.sshd.known_hosts.write_text("")
    else:
        at.sshd.trust(at.sshd.directory / "user_key.pub")
    done = at.push("example")
    assert done.returncode == 1
    assert "Host key verification failed" in done.stderr
    assert "ssh-keyscan" in done.stderr
    assert at.left() == []


def test_who_may_not_log_in_is_told_so(make: Make) -> None:
    """The error of ssh is printed; no password is asked for."""
    at = make()
    (at.sshd.directory / "user_key.pub").write_text("")
    done = at.push("example")
    assert done.returncode == 1
    assert "Permission denied" in done.stderr


def test_a_base_directory_that_is_not_there_is_not_made(make: Make) -> None:
    """Its file system may not be mounted: exit code 3."""
    at = make()
    for to in (at.sshd.to(at.directory / "no" / "dfs"), at.directory / "no" / "dfs"):
        words = ("push", "example", "--ssh", at.sshd.command, "--to", to)
        done = at.host.gapless(*words, cwd=at.laptop)
        assert done.returncode == 3, done.stderr
        assert "there is no directory" in done.stderr
    assert not (at.directory / "no").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.parametrize("by", WAYS)
def test_a_full_disk_on_the_release_server_is_named(host: Host, by: str) -> None:
    """Only the other side sees the small disk; nothing is left on it."""
    at = PushTarget(host)
    at.files("example", {"noise": os.urandom(400_000).hex()})
    at.files("small", {"VERSION": "2"})
    mount = f'mount -t tmpfs -o size=128k none {at.base} && exec "$@"'
    small = ("unshare", "--mount", "sh", "-c", mount, "sh")
    try:
        if by == "ssh":
            at.sshd.start(*small)
            full = at.push("example")
            then = at.push("small", "--app", "example")
        else:
            script = (
                f"{GAPLESS} push example --to {at.base}; code=$?; "
                f"{GAPLESS} push small --app example --to {at.base} || exit 99; "
                f"ls -A {at.base}/src; exit $code"
            )
            full = subprocess.run(
                [*small, "sh", "-c", script],
                cwd=at.laptop,
                env=host.environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            then = full
            assert ".part" not in full.stdout
        assert full.returncode == 1, full.stdout + full.stderr
        assert "o space left on device" in full.stderr
        assert "example-" in then.stdout, "what fits is taken, so nothing was left"
    finally:
        at.close()
