"""Files of variables: what .env files and files for systemd hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless.supervisor.observe.variable_lines import WrongLineError, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1\nB=2", {"A": "1", "B": "2"}),
        ("\ufeffA=1\r\nB = two words \r\n", {"A": "1", "B": "two words"}),
        ("# note\n; note\n\n   \n  A=1", {"A": "1"}),
        ("export A=1\nexport\tB=2\n", {"A": "1", "B": "2"}),
        ("A=", {"A": ""}),
        ("A=\nB=1", {"A": "", "B": "1"}),
        ("A=1 # note\nB=a#b\nC=#note", {"A": "1", "B": "a#b", "C": ""}),
        ("A='$B \\n # \"'", {"A": '$B \\n # "'}),
        ('A="x\\ny\\t\\"z\\" \\$B \\\\" # note', {"A": 'x\ny\t"z" $B \\'}),
        ('A="\\d"', {"A": "\\d"}),
        ('A=`it\'s "so"`', {"A": 'it\'s "so"'}),
        (
            'K="--BEGIN\nabc\n--END"\nB=1',
            {"K": "--BEGIN\nabc\n--END", "B": "1"},
        ),
        ("A=one \\\n  two\nB=1", {"A": "one   two", "B": "1"}),
        ("A=1\nA=2", {"A": "2"}),
        ("U=postgres://u:p@h/db?x=1&y=2", {"U": "postgres://u:p@h/db?x=1&y=2"}),
        ('J={"a": 1}', {"J": '{"a": 1}'}),
        ("A=C:\\dir\\new", {"A": "C:\\dir\\new"}),
        ("my.dotted-name=1", {"my.dotted-name": "1"}),
        ("", {}),
    ],
)
def test_lines(text: str, expected: dict[str, str]) -> None:
    """Quotes, comments, continued lines, Windows line ends."""
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A=1\nsecret", "line 2 is not NAME=VALUE"),
        ("=secret", "line 1 is not"),
        ("1A=secret", "line 1 is not"),
        ("A='secret", "line 1 has a ' that is not closed"),
        ('\n\nA="secret\n\n', 'line 3 has a " that is not closed'),
        ('A="a" secret', 'line 1 goes on after the closing "'),
        ("A=se\0cret", "line 1 has a NUL"),
    ],
)
def test_what_is_no_line_is_named_by_its_number(text: str, reason: str) -> None:
    """And by nothing else: it may be a secret."""
    with pytest.raises(WrongLineError) as raised:
        parse(text)
    assert str(raised.value).startswith(reason)
    assert "cret" not in str(raised.value)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text of a file does anything else."""
    try:
        found = parse(text)
    except WrongLineError:
        return
    assert all("\0" not in value and "=" not in name for name, value in found.items())


@given(st.text(st.characters(exclude_characters="'\0\r", codec="utf-8")))
def test_what_is_in_single_quotes_is_itself(value: str) -> None:
    """Whatever it is."""
    assert parse(f"A='{value}'\nB=1") == {"A": value, "B": "1"}
