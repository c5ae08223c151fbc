"""Answers of HTTP/1.1 as they come from any program."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapless.rehearsal.load.answer import MOST_HEAD_BYTES, Answer, NoHttpError

WHOLE = {
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc": (200, 3, False),
    b"HTTP/1.1 204 No Content\r\n\r\n": (204, 0, False),
    b"HTTP/1.1 200\r\nConnection: close\r\nContent-Length: 0\r\n\r\n": (200, 0, True),
    b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na": (200, 1, True),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n": (200, 15, False),
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok": (
        *(201, 2, False),
    ),
}


@pytest.mark.parametrize("raw", WHOLE)
@settings(max_examples=20)
@given(cuts=st.sets(st.integers(1, 120)))
def test_an_answer_is_the_same_in_any_pieces(raw: bytes, cuts: set[int]) -> None:
    """It is complete with its last byte, and not before."""
    answer = Answer()
    places = [0, *sorted(each for each in cuts if each < len(raw)), len(raw)]
    for begin, end in itertools.pairwise(places):
        assert not answer.is_complete
        answer.feed(raw[begin:end])
    assert answer.is_complete
    assert (answer.status, answer.body_bytes, answer.closes) == WHOLE[raw]


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    """One with a length that ends before is cut off."""
    answer = Answer()
    answer.feed(b"HTTP/1.1 200 OK\r\n\r\nabc")
    assert not answer.is_complete
    assert answer.at_end()
    cut = Answer()
    cut.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc")
    assert not cut.at_end()


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x50",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 9000,
        b"HTTP/1.1 200 OK\r\nA: " + b"a" * MOST_HEAD_BYTES,
    ],
)
def test_what_is_no_http_is_refused(raw: bytes) -> None:
    """And nothing of it is kept without a bound."""
    with pytest.raises(NoHttpError):
        Answer().feed(raw)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_answer_or_are_refused(raw: bytes) -> None:
    """No program makes the load itself fail."""
    answer = Answer()
    try:
        answer.feed(raw)
        answer.feed(b"HTTP/1.1 200 OK\r\n\r\n" + raw)
    except NoHttpError:
        return
    answer.at_end()
