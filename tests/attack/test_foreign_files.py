"""What is cut off, empty, foreign or of a later version is named and set aside."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gapless.agent import membership
from gapless.agent.trust.memory import HOST, Trusted, TrustMemory
from gapless.base import codec, events, files
from gapless.base.disk import set_aside
from gapless.base.errors import GaplessError
from gapless.base.names import Home
from gapless.cli.pm2 import settings
from gapless.cli.verbs.machine import resurrect
from gapless.releases import current, manifest, publisher_lock, reports
from gapless.releases.model import Release, ReleaseSpec
from gapless.releases.publisher import journal
from gapless.releases.signing import records
from gapless.supervisor.memory.apps import Apps
from gapless.supervisor.memory.spec import AppSpec
from gapless.supervisor.memory.state import AskedApp, HostRecord, State, StateFile

RELEASE = "shop-20260101000000"
SPEC = AppSpec(name="shop", command=("true",), directory="/")


def _is_root() -> bool:
    return os.geteuid() == 0


def _bytes(content: bytes) -> Callable[[Path, bytes], object]:
    return lambda path, _: path.write_bytes(content)


def _later(path: Path, good: bytes) -> None:
    plain = json.loads(good)
    path.write_text(json.dumps({**plain, "version": 99, "format": 99, "more": [1]}))


def _directory(path: Path, _: bytes) -> None:
    path.mkdir()
    (path / "inside").touch()


def _link(path: Path, good: bytes) -> None:
    other = path.parent / "elsewhere"
    other.write_bytes(good)
    path.symlink_to(other)


def _of_another_user(path: Path, good: bytes) -> None:
    path.write_bytes(good)
    os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)


KINDS: dict[str, Callable[[Path, bytes], object]] = {
    "empty": _bytes(b""),
    "cut off": lambda path, good: path.write_bytes(good[: len(good) // 2]),
    "zeros": lambda path, good: path.write_bytes(bytes(len(good))),
    "another program's JSON": _bytes(b'{"apps": [{"name": "x", "pm_id": 0}]}'),
    "a list": _bytes(b"[1, 2]"),
    "deep": _bytes(b"[" * 100_000),
    "binary": _bytes(bytes(range(256)) * 16),
    "a directory": _directory,
    "a FIFO": lambda path, _: os.mkfifo(path),
    "a link": _link,
    "of another user": _of_another_user,
    "of a later version": _later,
}
STATE = json.dumps(
    codec.encode(State(version=1, apps={"shop": AskedApp(spec=SPEC, running=True)}))
).encode()


def _put(kind: str, path: Path, good: bytes) -> None:
    if kind == "of another user" and not _is_root():
        pytest.skip("only root may give a file away")
    path.parent.mkdir(parents=True, exist_ok=True)
    KINDS[kind](path, good)


def _state_file(home: Home) -> StateFile:
    return StateFile(home.state, Apps(), HostRecord(), events.Log(home.own_log))


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_that_cannot_be_read_is_set_aside(tmp_path: Path, kind: str) -> None:
    """A supervisor begins without it, and the next one too; the file is kept."""
    home = Home(str(tmp_path))
    _put(kind, Path(home.state), STATE)
    Path(home.logs).mkdir()
    state, said = _state_file(home).load_or_set_aside()
    assert state.apps == {}
    (aside,) = set_aside.found_in(home.path)
    assert said.startswith(f"{home.state} was set aside as {aside}: ")
    assert os.path.lexists(aside)
    assert "state-unreadable" in Path(home.own_log).read_text()
    assert _state_file(home).load_or_set_aside() == (state, "")
    os.rename(aside, home.state)
    with pytest.raises(GaplessError, match="could not read the state"):
        _state_file(home).load()  # `list`, where no supervisor runs, changes nothing
    assert os.path.lexists(home.state)


def test_one_app_that_cannot_be_read_costs_the_others_nothing(tmp_path: Path) -> None:
    """The file is kept as it was; a name that could lead elsewhere is none."""
    plain: Any = json.loads(STATE)
    good = plain["apps"]["shop"]
    plain["apps"] |= {"bad": {"spec": 7}, "../x": good, "other": good}
    home = Home(str(tmp_path))
    files.write_json(home.state, plain)
    state, said = _state_file(home).load_or_set_aside()
    assert list(state.apps) == ["shop"]
    assert "'../x'" in said
    assert "bad" in said
    assert json.loads(Path(f"{home.state}{set_aside.ENDING}").read_text()) == plain


def test_a_state_that_cannot_be_read_now_is_no_bad_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk with an error may have it again: the apps in it are not given up."""
    home = Home(str(tmp_path))
    Path(home.state).write_bytes(STATE)

    def fail(_: str) -> None:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(files, "read_own_json", fail)
    with pytest.raises(OSError, match="input/output error"):
        _state_file(home).load_or_set_aside()
    assert Path(home.state).read_bytes() == STATE


def test_only_so_many_are_kept(tmp_path: Path) -> None:
    """Something that breaks a record again and again does not fill the disk."""
    path = tmp_path / "state.json"
    for number in range(set_aside.KEPT + 3):
        path.write_text(str(number))
        assert set_aside.set_aside(str(path))
    kept = [Path(each).read_text() for each in set_aside.found_in(str(tmp_path))]
    assert kept == ["0", "1", "2", "3", str(set_aside.KEPT + 2)]
    assert set_aside.set_aside(str(path)) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_what_commands_read_is_named_and_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, kind: str
) -> None:
    """The list of `save`, and the settings of `pm2 set`, which have no version."""
    monkeypatch.setenv("GAPLESS_HOME", str(tmp_path))
    dump = tmp_path / "dump.json"
    _put(kind, dump, b'{"version": 1, "apps": []}')
    with pytest.raises(GaplessError, match=r"could not read .*dump\.json") as caught:
        resurrect._read(str(dump))
    assert f"{dump}{set_aside.ENDING}" in caught.value.hint
    if kind not in ("of a later version", "another program's JSON"):
        _put(kind, tmp_path / settings.FILE, b'{"a": {"b": "c"}}')
        assert settings._kept() == {}
        assert f"{settings.FILE}{set_aside.ENDING}" in capsys.readouterr().err
        assert settings._kept() == {}


@pytest.mark.parametrize("kind", KINDS)
def test_what_protects_others_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    """To begin anew would let an old rollout pass, or a host drain without asking."""
    home, memory = Home(str(tmp_path)), TrustMemory(str(tmp_path), "shop", HOST)
    if kind not in ("of another user", "of a later version"):  # it has no version
        memory.save(Trusted(number=7))
        good = Path(memory.path).read_bytes()
        os.unlink(memory.path)
        _put(kind, Path(memory.path), good)
        with pytest.raises(GaplessError, match="which rollouts were taken here"):
            memory.load()
    _put(kind, Path(home.fleets), b'{"shop": {"file": "/x", "host": "a"}}')
    with pytest.raises(GaplessError, match="which fleets this host follows"):
        membership.memberships(home)


@pytest.mark.parametrize("kind", KINDS)
def test_a_publisher_goes_on_whatever_lies_in_the_place_of_its_files(
    tmp_path: Path, kind: str
) -> None:
    """The journal is set aside; what is written beside a release counts for nothing."""
    spec = ReleaseSpec(app="shop", base=str(tmp_path))
    release = Release(app="shop", stamp="20260101000000", path=spec.path_of(RELEASE))
    Path(release.path).mkdir(parents=True)
    (Path(release.path) / "RELEASE").write_text(f"{release.stamp}\n")
    change = journal.Change(action=journal.ROLLBACK, release=RELEASE, token="x")
    good = json.dumps(codec.encode(change)).encode()
    is_unknown = kind not in ("of another user", "of a later version")
    for path in (journal.path_of(spec), f"{spec.work}/{publisher_lock.PUBLISHING}"):
        if path.endswith("lock") and kind in ("a directory", "a FIFO", "a link"):
            continue  # refused by name
        _put(kind, Path(path), good)
    for name in (reports.FAILURE_FILE, manifest.FILE, records.FILE, "host.json"):
        _put(kind, Path(spec.reports_of(RELEASE), name), good)
    if is_unknown:
        assert journal.read(spec) is None
    assert current.releases(spec)[0].failure
    assert manifest.upload_of(spec, RELEASE) == ""
    assert records.of(spec, RELEASE) is None
    assert reports.report_of(spec, RELEASE, "host", "y") is None
    with publisher_lock.hold(spec, lambda _step, _detail: None):
        journal.write(spec, change)
        assert journal.read(spec) == change
        journal.drop(spec)
    assert journal.read(spec) is None
    if is_unknown:
        assert os.path.lexists(f"{journal.path_of(spec)}{set_aside.ENDING}")
