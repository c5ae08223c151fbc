"""Builds run what an upload says: they get little, end whole, and keep nothing."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gapless.base.errors import MisuseError, ReleaseError
from gapless.config import refresh
from gapless.keeper import process_title
from gapless.releases import publish, publisher_lock
from gapless.releases.model import Hooks, Release, ReleaseSpec
from gapless.releases.reaper import descendants
from gapless.releases.reaper import output as reaper_output
from gapless.releases.steps import build, commands, ownership
from rig.wait import until

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may become another user"
)
NOBODY = 65534
_DAEMON = "(setsid sh -c 'trap \"\" HUP TERM; echo $$ > {}; exec sleep 300' &) ; "
"""A child whose parents have ended, in a session of its own."""


@pytest.fixture
def base() -> Iterator[Path]:
    """A shared directory that other users may pass through."""
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o755)
        (Path(made) / "dist").mkdir()
        yield Path(made)


def published(base: Path, command: str, **keys: Any) -> Path:
    """Publish a tarball whose build is a command of a shell; return the release."""
    with tarfile.open(base / "app.tar", "w") as archive:
        member = tarfile.TarInfo("index.js")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"main"))
    spec = ReleaseSpec(
        app="app", base=str(base), build=(("sh", "-c", command),), **keys
    )
    with publisher_lock.hold(spec, _ignore) as held:
        made = publish.make_release(held, str(base / "app.tar"), progress=_ignore)
    return Path(made.path)


def _ignore(_step: str, _detail: str) -> None:
    """Report no step."""


def lives(path: Path) -> bool:
    """Return whether the process lives whose pid a file holds."""
    try:
        state = Path(f"/proc/{int(path.read_text())}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return False
    return state.rpartition(") ")[2][0] != "Z"


# --- what a build gets ----------------------------------------------------------------


def test_a_build_gets_no_variable_of_the_publisher(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token of a pipeline is not for whoever may upload."""
    monkeypatch.setenv("DEPLOY_TOKEN", "s3cret-of-the-publisher")
    monkeypatch.setenv("npm_config_//npm.example/:_authToken", "s3cret-of-npm")
    monkeypatch.setenv("GAPLESS_PUSH_TO", "s3cret-place")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:s3cret-of-the-proxy@proxy.example:1")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:1")
    release = published(
        base, "env > seen", hooks=Hooks(before_flip=("sh", "-c", "env"))
    )
    log = next(base.glob("reports/app/*/before_flip.log")).read_text()
    for seen in ((release / "seen").read_text(), log):
        assert "s3cret" not in seen
        assert "HTTP_PROXY=http://proxy.example:1\n" in seen
        assert f"GAPLESS_RELEASE={release.name}\n" in seen


def test_a_build_gets_what_is_named_and_not_by_way_of_arguments(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments can be read by every user of the host."""
    monkeypatch.setenv("NPM_TOKEN", "named-s3cret")
    release = published(
        base,
        "env > seen; cat /proc/$PPID/cmdline /proc/$PPID/environ > parent",
        build_environment={"NPM_TOKEN": None, "NODE_ENV": "test", "ABSENT": None},
    )
    seen = (release / "seen").read_text().splitlines()
    assert {"NPM_TOKEN=named-s3cret", "NODE_ENV=test"} <= set(seen)
    assert b"s3cret" not in (release / "parent").read_bytes()


def test_a_build_gets_no_descriptor_but_its_output(base: Path) -> None:
    """By the lock's it would let another publisher in; by the log's it would empty it."""
    release = published(base, "ls -l /proc/$$/fd > seen; : > /proc/$$/fd/1")
    targets = [each.rpartition("-> ")[2] for each in _lines(release / "seen")[1:]]
    seen = str(base / "dist/.gapless-app/tree/seen")
    assert {each.partition(":")[0] for each in targets} <= {"/dev/null", "pipe", seen}


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_scripts_of_dependencies_are_one_key_away(base: Path) -> None:
    """Of the default commands, and of configured ones by their environment."""
    (base / "package-lock.json").touch()
    (base / "uv.lock").touch()
    assert build.default_commands(str(base), scripts=False) == (
        ("npm", "ci", "--ignore-scripts"),
        ("uv", "sync", "--frozen", "--no-build"),
    )
    (base / "package-lock.json").unlink()
    (base / "uv.lock").unlink()
    release = published(base, "env > seen", build_scripts=False)
    assert "npm_config_ignore_scripts=true" in _lines(release / "seen")


@pytest.mark.soak
def test_npm_runs_no_script_of_a_dependency_then(base: Path) -> None:
    """The real npm, with a package that would run code when it is installed."""
    evil = base / "evil"
    evil.mkdir()
    (evil / "package.json").write_text(
        '{"name": "evil", "version": "1.0.0", "scripts": {"postinstall": "touch ../ran"}}'
    )
    command = (
        'echo \'{"name": "a", "version": "1.0.0"}\' > package.json; '
        f"npm install --offline --install-links {evil}"
    )
    for scripts in (True, False):
        release = published(base, command, build_scripts=scripts)
        assert (release / "node_modules/ran").exists() is scripts


# --- a build ends whole ---------------------------------------------------------------


@pytest.mark.parametrize("end", ["exit 0", "exit 1", "kill -9 $$", "exec sleep 300"])
def test_what_a_build_starts_ends_with_it(base: Path, end: str) -> None:
    """Also what has left its group and its session, and however the build ends."""
    pid = base / "pid"
    command = f"{_DAEMON.format(pid)} until [ -s {pid} ]; do sleep 0.01; done; {end}"
    try:
        published(base, command, build_timeout_s=1.0)
    except ReleaseError:
        assert end != "exit 0"
    assert pid.exists()
    assert not lives(pid)


def test_without_a_control_group_descendants_end_as_well(tmp_path: Path) -> None:
    """A subreaper finds them by their parents."""
    pid = tmp_path / "pid"
    child = os.fork()
    if child == 0:
        try:
            process_title.become_subreaper()
            subprocess.run(["sh", "-c", _DAEMON.format(pid) * 3], check=True)
            until(lambda: lives(pid), "the daemon")
            alive = descendants.end_all("")
            os._exit(1 if alive or lives(pid) else 0)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


PUBLISHER = """
import sys
from gapless.releases import publisher_lock
from gapless.releases.model import Release, ReleaseSpec
from gapless.releases.steps import build
spec = ReleaseSpec(app="app", base=sys.argv[1], build=(("sh", "-c", sys.argv[2]),))
with publisher_lock.hold(spec, lambda *_: None) as held:
    build.build(held, Release(app="app", stamp="1", path=""), "/", lambda *_: None)
"""


def test_a_build_ends_with_its_publisher(tmp_path: Path) -> None:
    """It was killed; the next publisher does not wait for what was left."""
    pid = tmp_path / "pid"
    command = f"{_DAEMON.format(pid)} sleep 300"
    publisher = subprocess.Popen([sys.executable, "-c", PUBLISHER, tmp_path, command])
    until(lambda: lives(pid), "the daemon of the build")
    publisher.send_signal(signal.SIGKILL)
    publisher.wait()
    with publisher_lock.hold(ReleaseSpec(app="app", base=str(tmp_path)), _ignore):
        assert not lives(pid)


def test_the_log_of_a_build_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that prints without end fills no disk."""
    monkeypatch.setattr(reaper_output, "KEPT_BYTES", 1000)
    with (tmp_path / "log").open("wb", buffering=0) as log:
        taken = reaper_output.Output(log.fileno())
        for _ in range(100):
            os.write(taken.write_end, b"x" * 400)
            assert taken.take()
        os.close(taken.write_end)
        assert not taken.take()
        os.close(taken.fileno())
    text = (tmp_path / "log").read_text()
    assert text.count("x") == 1000
    assert len(text) < 1100


# --- a build as another user ----------------------------------------------------------


@needs_root
def test_a_build_runs_as_its_user_and_keeps_nothing(base: Path) -> None:
    """The tree is the publisher's again, and nobody else may write in it."""
    private = base / "private"
    private.write_text("of the publisher")
    private.chmod(0o600)
    cache = base / "cache"
    cache.mkdir()
    os.chown(cache, NOBODY, NOBODY)
    release = published(
        base,
        f"id -u > id; grep NoNewPrivs /proc/self/status > rights; echo $HOME > home; "
        f"ln -s {private} link; ln -s {base} up; mkfifo fifo; umask 0; "
        "mkdir -p open/below; echo 1 > open/below/file; cp /bin/true suid; "
        "chmod 7777 suid open; chmod 0 open/below; "
        f"echo 1 > {cache}/cached; ln {cache}/cached hard; ln index.js twice; "
        f"cat {private} > stolen; touch {private} /etc/gapless-attack; true",
        build_user="nobody",
        build_environment={"HOME": "/named"},
    )
    assert (release / "home").read_text() == "/named\n"
    assert (release / "id").read_text() == f"{NOBODY}\n"
    assert (release / "rights").read_text() == "NoNewPrivs:\t1\n"
    assert (release / "stolen").read_text() == ""
    assert private.stat().st_uid == 0
    assert private.stat().st_mode & 0o777 == 0o600
    assert not (release / "fifo").exists()
    assert (release / "twice").samefile(release / "index.js")
    assert (cache / "cached").stat().st_uid == NOBODY
    assert not (release / "hard").samefile(cache / "cached")
    for path in (release, *release.rglob("*")):
        found = path.lstat()
        assert found.st_uid == 0
        assert path.is_symlink() or not found.st_mode & 0o7022, path


@pytest.fixture
def built(base: Path) -> tuple[ReleaseSpec, Path]:
    """A tree as a build's user leaves it, with one file."""
    spec = ReleaseSpec(app="app", base=str(base), build_user="nobody")
    tree = Path(spec.work) / "tree"
    tree.mkdir(parents=True)
    (tree / "file").write_text("built")
    os.chown(tree / "file", NOBODY, NOBODY)
    os.chown(tree, NOBODY, NOBODY)
    return spec, tree


@needs_root
@pytest.mark.parametrize("is_mapped", [False, True])
def test_a_descriptor_that_was_left_writes_nothing_that_is_published(
    built: tuple[ReleaseSpec, Path], *, is_mapped: bool
) -> None:
    """A build may hand one to a process that is none of its descendants."""
    spec, tree = built
    left = (tree / "file").open("r+b", buffering=0)
    with mmap.mmap(left.fileno(), 5) as mapped:
        if is_mapped:
            left.close()
        ownership.take_back(spec, str(tree), NOBODY)
        mapped[:5] = b"stole"
        if not is_mapped:
            left.write(b"STOLE")
            left.close()
    assert (tree / "file").read_text() == "built"
    assert (tree / "file").stat().st_uid == 0


@needs_root
def test_another_users_file_by_a_hard_link_is_refused(
    built: tuple[ReleaseSpec, Path], base: Path
) -> None:
    """It is not read, copied, or given other rights (where the kernel lets it be made)."""
    spec, tree = built
    for owner in (0, 12345):
        private = base / f"private-{owner}"
        private.write_text("private")
        private.chmod(0o600)
        os.chown(private, owner, owner)
        (tree / "link").hardlink_to(private)
        with pytest.raises(
            ReleaseError, match=rf"link, which belongs to the user {owner}"
        ):
            ownership.take_back(spec, str(tree), NOBODY)
        assert private.stat().st_uid == owner
        assert private.stat().st_mode & 0o777 == 0o600
        (tree / "link").unlink()


@needs_root
def test_access_lists_of_a_build_are_dropped(built: tuple[ReleaseSpec, Path]) -> None:
    """They would let a user write whom no mode names (acl(5))."""
    spec, tree = built
    nobody = 2**32 - 1
    own = (
        (1, 6, nobody),
        (2, 7, NOBODY),
        (4, 4, nobody),
        (16, 7, nobody),
        (32, 4, nobody),
    )
    value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in own)
    with contextlib.suppress(OSError):  # this file system has none
        os.setxattr(tree / "file", "system.posix_acl_access", value)
        os.setxattr(tree, "system.posix_acl_default", value)
    ownership.take_back(spec, str(tree), NOBODY)
    assert os.listxattr(tree / "file") == os.listxattr(tree) == []
    assert (tree / "file").stat().st_mode & 0o022 == 0


def test_a_tree_too_deep_is_refused_and_removed(base: Path) -> None:
    """Deeper than the stack, and than a path may be long; some may not be entered."""
    code = (
        "import os\n"
        "for level in range(1500): os.mkdir('d' * 20); os.chdir('d' * 20)\n"
        "os.mkdir('closed'); os.mkdir('closed/below'); os.chmod('closed', 0)\n"
    )
    with pytest.raises(ReleaseError, match="200 levels"):
        published(base, f'exec {sys.executable} -c "{code}"')
    assert list((base / "dist").glob("app-*")) == []
    assert not (base / "dist/.gapless-app/tree").exists()


def test_a_publisher_that_may_not_build_as_that_user_says_so_at_once(
    base: Path,
) -> None:
    """Before anything is claimed, and with what to do."""
    spec = ReleaseSpec(app="app", base=str(base), build_user="nobody-of-that-name")
    with pytest.raises(MisuseError, match="there is no user nobody-of-that-name"):
        commands.user_of(spec)
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setresuid(12345, 12345, 12345)
            commands.user_of(ReleaseSpec(app="app", base="/", build_user="nobody"))
        except MisuseError as error:
            os._exit(0 if "only root" in error.message and error.hint else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_user_of_the_publisher_is_no_other_user(base: Path) -> None:
    """It may be named without being root."""
    spec = ReleaseSpec(app="app", base=str(base), build_user=str(os.geteuid()))
    assert commands.user_of(spec) == ""


def test_a_file_that_would_be_hashed_for_ever_is_refused(base: Path) -> None:
    """A file of holes takes no place, and its publisher and all hosts read every byte."""
    with pytest.raises(ReleaseError, match=r"16 times limits.*the last is lib/holes"):
        published(base, "mkdir lib; truncate -s 64G lib/holes")
    assert list((base / "dist").glob("app-*")) == []


@pytest.mark.parametrize("name", ["ecosystem.config.js", "app.json", "gapless.toml"])
def test_with_a_build_user_no_release_says_as_which_user_its_app_runs(
    base: Path, name: str
) -> None:
    """Such a file may ask for root, and one of JavaScript is run to be read."""
    release = Release(app="app", stamp="20261129000000", path=f"{base}/dist/app-1")
    Path(release.path).mkdir()
    ran = base / "ran"
    Path(release.path, name).write_text(f"require('fs').writeFileSync('{ran}', '')")
    (base / "dist/app").symlink_to("app-1")
    (base / "current").symlink_to("dist/app")
    spec = ReleaseSpec(app="app", base=str(base), build_user="nobody")
    for path in (base / "dist/app" / name, base / "current" / name):
        with pytest.raises(MisuseError, match="as which user the app runs"):
            refresh.declared_in(str(path), (spec, release))
    assert not ran.exists()
    (base / name).write_text("")
    outside = str(base / name)
    if name.endswith(".toml"):
        assert refresh.declared_in(outside, (spec, release)).file == outside
