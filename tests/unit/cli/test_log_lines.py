"""The lines of a log as `logs` was asked to show them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gapless.cli.followed_log import FollowedLog
from gapless.cli.terminal.log_lines import Form, LogLines, Source
from gapless.cli.verbs.inspect import logs

SOURCE = Source(app="web", stream="err", identity=3)


def lines(**form: object) -> LogLines:
    """Return the lines of an app in a form, at noon."""
    noon = {"now": lambda: "2026-01-01T12:00:00Z"}
    return LogLines(SOURCE, Form(**{**noon, **form}))  # type: ignore[arg-type]  # a test


def test_lines_are_objects_however_they_are_cut() -> None:
    """Lines of the file have no time, new ones have that of now."""
    shown = lines(is_json=True)
    found = shown.shown(b"a \xff\nb")
    shown.is_live = True
    found += shown.shown(b"c\nwith\x1b[2J\n") + shown.shown(b"rest") + shown.rest()
    rows = [json.loads(line) for line in found.splitlines()]
    assert [row["message"] for row in rows] == ["a �", "bc", "with\x1b[2J", "rest"]
    assert [bool(row["timestamp"]) for row in rows] == [False, True, True, True]
    assert rows[0]["type"] == "err"
    assert (rows[0]["process_id"], rows[0]["app_name"]) == (3, "web")
    assert shown.rest() == b""


def test_a_line_that_is_an_object_stays_one() -> None:
    """An app with log_type json has times of its own; what only looks so has not."""
    own = b'{"message":"x","timestamp":"then"}'
    shown = lines(is_json=True)
    assert shown.shown(own + b"\n") == own + b"\n"
    assert json.loads(shown.shown(b'{"message":\n'))["message"] == '{"message":'


def test_pairs_times_and_words() -> None:
    """As PM2 calls them."""
    shown = lines(is_pairs=True)
    shown.is_live = True
    assert shown.shown(b"x y\n") == (
        b"timestamp=2026-01-01T12:00:00Z app=web id=3 type=error message=x y\n"
    )
    shown = lines(stamp=lambda: "12:00", highlight="y")
    assert shown.shown(b"old\n") == b"old\n"
    shown.is_live = True
    assert shown.shown(b"x y\n") == b"12:00 x \x1b[7my\x1b[27m\n"
    assert not Form().changes()


def test_a_followed_log_shows_its_last_line_at_the_end(tmp_path: Path) -> None:
    """Also where no newline is behind it."""
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo")
    out = tmp_path / "out"
    with out.open("wb") as file:
        followed = FollowedLog(str(path), file, lines=lines(is_pairs=True))
        followed.print_last(5)
        followed.begin_live()
        followed.print_rest()
        followed.close()
    assert out.read_text().count("message=") == 2


@pytest.mark.parametrize(
    ("each", "streams"),
    [
        ([("o", "e", "")], {"o": "out", "e": "err"}),
        ([("o", "e", "c")], {"o": "out", "e": "err", "c": "copy"}),
        ([("", "", "c")], {"c": "both"}),
        ([("x", "x", "")], {"x": "both"}),
        ([("o0", "e", ""), ("o1", "e", "")], {"o0": "out", "o1": "out", "e": "err"}),
    ],
)
def test_whose_lines_stand_in_a_log(
    each: list[tuple[str, str, str]], streams: dict[str, str]
) -> None:
    """A log of both is never left out, but beside one of each."""
    described = {
        "name": "web",
        "ids": [4, 5][: len(each)],
        "logs": list(streams),
        "logs_by_instance": [
            {"output": o, "error": e, "combined": c, "pid_file": "p"}
            for o, e, c in each
        ],
    }
    found = dict(logs._sources(described))
    assert {path: source.stream for path, source in found.items()} == streams
    assert found[next(iter(streams))].identity == 4


OUT = b"2026-11-29T23:27:28.319+00:00 2.0 out | listening\n"
ERR = b"2026-11-29T23:27:28.320+00:00 2.0 err | Traceback: x | y\n"
AS_JSON = (
    b'{"time":"t","app":"web","generation":2,"ordinal":0,"stream":"err",'
    b'"message":"m"}\n'
)


def both(**form: object) -> LogLines:
    """Return the lines of a log with both streams, as it is by default."""
    source = Source(app="web", stream="both", identity=0)
    return LogLines(source, Form(**form))  # type: ignore[arg-type]  # a test


def test_lines_of_both_streams_are_told_apart() -> None:
    """By what the formats text and json say; what says nothing is shown in any case."""
    foreign = b"no prefix\n"
    content = OUT + ERR + AS_JSON + foreign
    assert both(only="err").shown(content) == ERR + AS_JSON + foreign
    assert both(only="out").shown(content) == OUT + foreign


def test_a_line_of_a_format_of_gapless_is_an_object_with_its_time_and_stream() -> None:
    """Not all of it in the message, and `out` for what came from standard error."""
    rows = [json.loads(each) for each in both(is_json=True).shown(ERR).splitlines()]
    assert rows == [
        {
            "message": "Traceback: x | y",
            "timestamp": "2026-11-29T23:27:28.320+00:00",
            "type": "err",
            "process_id": 0,
            "app_name": "web",
        }
    ]
    (row,) = [
        json.loads(each) for each in both(is_json=True).shown(AS_JSON).splitlines()
    ]
    assert (row["message"], row["type"], row["timestamp"]) == ("m", "err", "t")


def test_the_last_lines_are_those_of_the_stream_that_was_asked_for(
    tmp_path: Path,
) -> None:
    """Fifteen errors, however many requests were logged since."""
    path = tmp_path / "log"
    path.write_bytes(ERR + OUT * 50)
    out = tmp_path / "out"
    with out.open("wb") as file:
        followed = FollowedLog(str(path), file, lines=both(only="err"))
        followed.print_last(5)
        followed.close()
    assert out.read_bytes() == ERR


HALF = rb'"\ud83d"'
DEEP = b'{"message":' + b"[" * 100_000
FOREIGN = (
    b'{"time":"t","type":"out","message":' + HALF + b"}",
    b'{"message":"x","timestamp":"t","type":"payment"}',
    b'{"message":"x","timestamp":"t","type":"payment","process_id":0,"app_name":"web"}',
    b'{"time":"t","stream":"out","message":"x","order":7}',
    b'{"message":"x","timestamp":7,"type":"out","process_id":0,"app_name":"web"}',
    b'{"time":["t"],"stream":{},"message":null}',
    DEEP,
)


@pytest.mark.parametrize("line", FOREIGN)
def test_an_object_of_the_app_itself_is_a_text(line: bytes) -> None:
    """It is of no stream, is lost for neither, and loses nothing."""
    for only in ("out", "err"):
        assert both(only=only).shown(line + b"\n") == line + b"\n"
    shown = both(is_json=True).shown(line + b"\n")
    assert shown == line + b"\n" or json.loads(shown)["message"].encode() == line
    assert both(is_pairs=True).shown(line + b"\n").endswith(b"message=" + line + b"\n")


def as_json(message: bytes) -> bytes:
    """Return a line of the format json with a message, encoded."""
    return AS_JSON.replace(b'"m"', message)


def test_half_of_a_pair_is_shown_as_it_was_written() -> None:
    """It cannot be encoded, and ends nothing."""
    shown = both(is_json=True).shown(as_json(HALF))
    assert json.loads(shown)["message"] == "\ud83d"
    shown = both(is_pairs=True).shown(as_json(HALF))
    assert shown == rb"timestamp=t app=web id=0 type=error message=\ud83d" + b"\n"


def test_a_newline_within_a_message_begins_no_line() -> None:
    """Else an app could forge lines of others."""
    shown = both(is_pairs=True).shown(as_json(rb'"a\ntimestamp=t app=other\r"'))
    assert shown.count(b"\n") == 1
    assert shown.endswith(rb"message=a\ntimestamp=t app=other\r" + b"\n")


def test_a_word_that_is_no_text_is_marked() -> None:
    """As it was typed, in any encoding."""
    assert b"\x1b[7m\xff\x1b[27m" in lines(highlight="\udcff").shown(b"a \xff b\n")


def test_what_draws_its_progress_writes_one_line(tmp_path: Path) -> None:
    """CR is within it."""
    path = tmp_path / "log"
    drawn = ERR.replace(b"Traceback", b"10%\r20%")
    path.write_bytes(drawn + OUT)
    for only, expected in (("out", OUT), ("err", drawn)):
        out = tmp_path / only
        with out.open("wb") as file:
            followed = FollowedLog(str(path), file, lines=both(only=only))
            followed.print_last(5)
            followed.close()
        assert out.read_bytes() == expected
