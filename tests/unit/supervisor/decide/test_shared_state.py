"""Which files two generations may have open both, and which not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gapless.supervisor.decide.files.shared_state import (
    HeldFile,
    Use,
    conflict,
    hint,
    is_lock_name,
    is_log_name,
    is_state,
    that_lasts,
    without_waits,
)

OLD = Use(generation=1, writes=True)
NEW = Use(generation=2, writes=True)
STATE = HeldFile(path="/srv/state.bin", old=OLD, new=NEW)


def both(**how: Any) -> HeldFile:
    """Return a file that both use in the same way."""
    return replace(STATE, old=replace(OLD, **how), new=replace(NEW, **how))


def test_what_both_have_open_for_writing_is_a_conflict() -> None:
    """The reason names both generations and the file."""
    reason, path = conflict([STATE])
    assert path == "/srv/state.bin"
    assert reason == (
        "generation 1 and generation 2 both have /srv/state.bin open for writing"
    )


def test_a_file_of_commands_that_both_append_to_is_a_conflict() -> None:
    """That of redis is opened with O_APPEND, and is no log."""
    path = "/srv/appendonlydir/appendonly.aof.1.incr.aof"
    assert conflict([replace(both(appends=True), path=path)])[1] == path


NO_CONFLICT = {
    "only the old one writes": replace(STATE, new=Use(generation=2)),
    "only the new one writes": replace(STATE, old=Use(generation=1)),
    "the new one does not have it": replace(STATE, new=None),
    "a log that both append to": replace(both(appends=True), path="/srv/app.log"),
    "a log that neither appends to": replace(STATE, path="/srv/a.log", is_text=True),
    "the session of a user": replace(
        both(locks=True, excludes=True), path="/tmp/sess_0123456789abcdef0123"
    ),
    "an empty pid file": replace(STATE, path="/srv/app.pid", is_empty=True),
    "a database of SQLite": replace(STATE, is_sqlite=True),
    "the configuration allows it": replace(STATE, is_allowed=True),
    "two instances share it already": replace(STATE, old=replace(OLD, by_several=True)),
    "an empty lock file": replace(STATE, path="/srv/app.lock", is_empty=True),
    "a directory that nobody locks": replace(STATE, is_regular=False),
    "a lock that both share": both(writes=False, locks=True),
    "a lock of a database of SQLite": replace(
        both(locks=True, excludes=True), is_sqlite=True
    ),
}


@pytest.mark.parametrize("what", NO_CONFLICT)
def test_what_is_no_conflict(what: str) -> None:
    """Nothing stops the switch."""
    assert conflict([NO_CONFLICT[what]]) == ("", "")


APPENDED = replace(
    STATE, old=replace(OLD, appends=True), new=replace(NEW, appends=True), is_lines=True
)


@pytest.mark.parametrize("name", ["numbers", "audit", "events.csv", "out.data.txt"])
def test_lines_that_both_append_are_no_conflict(name: str) -> None:
    """Whatever the file is called, if it is not called data."""
    file = replace(APPENDED, path=f"/srv/{name}")
    assert conflict([file]) == ("", "")
    assert conflict([replace(file, is_lines=False)])[1] == file.path or is_log_name(
        name
    )


@pytest.mark.parametrize("name", ["appendonly.aof.1.incr.aof", "users.db", "state.bin"])
def test_data_that_both_append_is_a_conflict(name: str) -> None:
    """Each has read what was there when it began."""
    assert conflict([replace(APPENDED, path=f"/srv/{name}")])[1] == f"/srv/{name}"


CONFLICTS = {
    "a log of data that one does not append to": replace(
        STATE, path="/srv/app.log", old=replace(OLD, appends=True)
    ),
    "a lock file with something in it": replace(STATE, path="/srv/app.lock"),
    "an empty file of another name": replace(STATE, is_empty=True),
    "a lock file that is locked": replace(
        STATE,
        path="/srv/app.lock",
        is_empty=True,
        old=replace(OLD, locks=True, excludes=True),
    ),
    "a directory that is locked": HeldFile(
        path="/srv",
        old=Use(generation=1, locks=True, excludes=True),
        new=Use(generation=2),
        is_regular=False,
    ),
    "a lock that the new one waits for": HeldFile(
        path="/srv/x",
        old=Use(generation=1, locks=True),
        new=Use(generation=2, waits=True),
    ),
}


@pytest.mark.parametrize("what", CONFLICTS)
def test_what_is_a_conflict(what: str) -> None:
    """It is named, and the old generation alone is a reason to look more than once."""
    assert conflict([CONFLICTS[what]])[1] == CONFLICTS[what].path
    assert is_state(CONFLICTS[what]) or is_log_name(CONFLICTS[what].path)


def test_a_lock_is_named_before_a_file() -> None:
    """It says most: that the program itself wants to be the only one."""
    locked = replace(CONFLICTS["a lock file that is locked"], path="/srv/z.lock")
    assert conflict([STATE, locked])[1] == "/srv/z.lock"


def test_the_hint_has_both_ways_out() -> None:
    """It can be copied into the configuration."""
    text = hint("/srv/state.bin")
    assert "overlap = false" in text
    assert 'shared_files = ["/srv/state.bin"]' in text


@pytest.mark.parametrize(
    ("name", "is_log"),
    [
        *((name, True) for name in ["app.log", "app.err", "server.OUT", "nohup.out"]),
        *((name, True) for name in ["app.log.1", "app.log-20261129", "app.log.2"]),
        *((name, True) for name in ["app-2026-11-29.log", "20261129.log"]),
        *(
            (name, True)
            for name in ["access_log", "error-log", "stdout", "events.jsonl"]
        ),
        *((name, False) for name in ["000003.log", "12.log", "appendonly.aof"]),
        *((name, False) for name in ["catalog", "blog", "state.bin", "app.log.db"]),
        *((name, False) for name in ["dump.rdb", "data.mdb", "log.db", "logs.sqlite"]),
    ],
)
def test_logs_are_known_by_their_names(name: str, is_log: bool) -> None:
    """The number of a database's file is no name of a log."""
    assert is_log_name(f"/srv/{name}") is is_log


@pytest.mark.parametrize(
    ("name", "is_lock"),
    [("LOCK", True), (".lock", True), ("app.lck", True), ("clock", False)],
)
def test_lock_files_are_known_by_their_names(name: str, is_lock: bool) -> None:
    """Only whole words count."""
    assert is_lock_name(f"/srv/{name}") is is_lock


def test_what_the_old_one_holds_now_and_then_is_not_the_programs() -> None:
    """A request holds it; what counts was held at every look since the trial began."""
    session = replace(STATE, path="/srv/lock-of-a-request")
    _, first = that_lasts([STATE, session], None)
    assert first == {STATE.path, session.path}
    found, second = that_lasts([STATE], first)
    assert (found, second) == ([STATE], frozenset({STATE.path}))
    assert that_lasts([STATE, session], second)[0] == [STATE]


def test_a_request_that_waits_for_a_lock_is_no_program_that_does() -> None:
    """Once it serves, only what is open in both brings the old generation back."""
    waits = CONFLICTS["a lock that the new one waits for"]
    assert conflict(without_waits([waits])) == ("", "")
    assert conflict(without_waits([STATE])) != ("", "")
