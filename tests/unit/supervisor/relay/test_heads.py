"""What waits on a connection is judged: only a whole head of HTTP/1 may be taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless.supervisor.relay.http import heads
from gapless.supervisor.relay.http.heads import LARGEST_HEAD_BYTES, Verdict

HOST = b"Host: a.example\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"

REQUESTS = {
    "plain": GET,
    "HTTP/1.0": b"GET / HTTP/1.0\r\n\r\n",
    "HTTP/1.0 that stays": b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "lone line feeds": b"GET / HTTP/1.1\nHost: a.example\n\n",
    "mixed line ends": b"GET / HTTP/1.1\r\nHost: a.example\n\r\n",
    "a method with a dash": b"M-SEARCH * HTTP/1.1\r\n" + HOST + b"\r\n",
    "HEAD": b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a body": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\n",
    "one length, said twice": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
    "chunks": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n",
    "the whole address": b"GET http://a.example/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "upgrade": b"GET / HTTP/1.1\r\n"
    + HOST
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "Expect": b"PUT / HTTP/1.1\r\n"
    + HOST
    + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    "Basic": b"GET / HTTP/1.1\r\n" + HOST + b"Authorization: Basic YTpi\r\n\r\n",
    "bytes beyond ASCII": b"GET / HTTP/1.1\r\n" + HOST + b"X: caf\xc3\xa9\r\n\r\n",
    "a large head": b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 12_000 + b"\r\n\r\n",
}

FOREIGN = {
    "nothing": b"",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "TLS records": b"\x17\x03\x03\x00\x20" + b"\xa5" * 32,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2 frame": b"\x00\x00\x04\x08\x00\x00\x00\x00\x00",
    "a websocket's text": b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
    "a websocket's end": b"\x88\x80\x00\x00\x00\x00",
    "PROXY v1": b"PROXY TCP4 10.0.0.1 10.0.0.2 5000 80\r\n" + GET,
    "PROXY v1, unknown": b"PROXY UNKNOWN\r\n" + GET,
    "PROXY v2": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + b"\x7f" * 12,
    "CONNECT": b"CONNECT a.example:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "both lengths": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "another coding": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "a negative length": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
    "a folded line": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n",
    "a folded Connection": b"GET / HTTP/1.1\r\n"
    + HOST
    + b"Connection:\r\n keep-alive\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : a.example\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "NTLM": b"GET / HTTP/1.1\r\n" + HOST + b"Authorization: NTLM TlRM\r\n\r\n",
    "Negotiate": b"GET / HTTP/1.1\r\n" + HOST + b"authorization: NEGOTIATE YII\r\n\r\n",
    "Negotiate, a tab": b"GET / HTTP/1.1\r\n"
    + HOST
    + b"Authorization: Negotiate\tYII\r\n\r\n",
    "a lower-case method": b"get / HTTP/1.1\r\n" + HOST + b"\r\n",
    "an empty line first": b"\r\n" + GET,
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\n" + HOST + b"\r\n",
    "a NUL in the target": b"GET /\0 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a NUL in a value": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n",
    "a carriage return in a value": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n",
    "an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a chunk's size": b"1a\r\nabc",
    "a chunk's size in letters": b"AB\r\nabc",
    "JSON": b'{"a": 1}',
    "a form": b"name=value&other=1",
    "a head without an end": b"GET / HTTP/1.1\r\nX: " + b"a" * LARGEST_HEAD_BYTES,
}


@pytest.mark.parametrize("raw", REQUESTS.values(), ids=REQUESTS.keys())
@pytest.mark.parametrize("behind", [b"", b"body", GET], ids=["alone", "body", "next"])
def test_a_request_is_one_once_its_head_is_whole(raw: bytes, behind: bytes) -> None:
    """What is behind it changes nothing."""
    verdict, head = heads.judge(raw + behind)
    assert verdict is Verdict.REQUEST
    assert head is not None
    assert head.raw == raw


@pytest.mark.parametrize("raw", REQUESTS.values(), ids=REQUESTS.keys())
def test_each_beginning_of_a_request_is_partial(raw: bytes) -> None:
    """Wherever it is cut."""
    ends = range(1, len(raw)) if len(raw) < 1000 else range(1, len(raw), 997)
    assert {heads.judge(raw[:end])[0] for end in ends} == {Verdict.PARTIAL}


@pytest.mark.parametrize("raw", FOREIGN.values(), ids=FOREIGN.keys())
def test_what_may_not_be_taken_is_foreign(raw: bytes) -> None:
    """Also what two programs may read in two ways."""
    assert heads.judge(raw) == (Verdict.FOREIGN, None)


@pytest.mark.parametrize(
    ("name", "body_bytes", "upgrades"),
    [
        ("plain", 0, False),
        ("a body", 5, False),
        ("one length, said twice", 5, False),
        ("chunks", None, False),
        ("upgrade", 0, True),
        ("Expect", 3, False),
    ],
)
def test_a_head_says_how_its_request_ends(
    name: str, body_bytes: int | None, *, upgrades: bool
) -> None:
    """By a length, by chunks, or with the head."""
    head = heads.judge(REQUESTS[name])[1]
    assert head is not None
    assert (head.body_bytes, head.upgrades) == (body_bytes, upgrades)


@given(st.binary(max_size=300))
def test_no_bytes_make_the_judge_fail(raw: bytes) -> None:
    """Also random ones."""
    verdict, head = heads.judge(raw)
    assert (verdict is Verdict.REQUEST) == (head is not None)


pieces = st.sampled_from(
    [
        b"GET",
        b"POST",
        b" ",
        b"/",
        b"HTTP/1.1",
        b"HTTP/1.0",
        b"\r\n",
        b"\n",
        b"\r",
        b":",
        b"Host: a",
        b"Content-Length: ",
        b"9" * 30,
        b"5",
        b"-1",
        b"\0",
        b"\xff",
        b"\t",
        b"Transfer-Encoding: ",
        b"chunked",
        b"Connection: ",
        b"Upgrade: h2c",
        b",PRI",
    ]
)


@given(st.lists(pieces, max_size=20))
def test_no_mixture_of_what_heads_hold_makes_the_judge_fail(parts: list[bytes]) -> None:
    """Whatever passes has one end only."""
    _, head = heads.judge(b"".join(parts))
    if head is not None:
        assert heads.end_of_head(head.raw) == len(head.raw)
        assert head.body_bytes is None or head.body_bytes >= 0


# --- the last of its connection -----------------------------------------------------------

KEPT = st.sampled_from(
    [
        b"Host: a",
        b"X-Connection: keep-alive",
        b"Content-Length: 0",
        b"Set-Cookie: a=b",
        b"Connections: 3",
        b"Keep-Alived: no",
        b"X: connection: close",
        b"Y:",
        b"Z: \xff",
    ]
)
DROPPED = st.sampled_from(
    [
        b"Connection: keep-alive",
        b"CONNECTION:close",
        b"keep-alive: timeout=5",
        b"Proxy-Connection: keep-alive",
        b"connection : keep-alive",
    ]
)


@given(st.lists(KEPT | DROPPED, max_size=8), st.sampled_from([b"\r\n", b"\n"]))
def test_only_lines_of_the_connection_are_changed(
    lines: list[bytes], ending: bytes
) -> None:
    """All others keep their bytes and their order, and one line is new."""
    head = ending.join([b"HTTP/1.1 200 OK", *lines, b"", b""])
    found = heads.as_the_last(head).split(ending)
    names = (b"connection", b"keep-alive", b"proxy-connection")
    kept = [e for e in lines if e.split(b":")[0].strip().lower() not in names]
    assert found == [b"HTTP/1.1 200 OK", *kept, b"Connection: close", b"", b""]


def test_a_head_with_folded_lines_stays_as_it_is() -> None:
    """A line of it may belong to Connection."""
    head = b"HTTP/1.1 200 OK\r\nConnection:\r\n keep-alive\r\n\r\n"
    assert heads.as_the_last(head) == head


@pytest.mark.parametrize("raw", REQUESTS.values(), ids=REQUESTS.keys())
def test_the_last_request_is_a_request_still(raw: bytes) -> None:
    """And its body is as long as before."""
    before, after = heads.judge(raw)[1], heads.judge(heads.as_the_last(raw))[1]
    assert before is not None
    assert after is not None
    assert after.body_bytes == before.body_bytes
    assert (b"connection", b"close") in list(after.request.headers)
