"""The fate of a request, judged by its answer or by the error of its socket.  Pure."""

from __future__ import annotations

import errno
import re

from rig.load.http1 import Answer
from rig.load.traffic import Traffic

ANSWERED = "answered"
FATES = (
    ANSWERED,
    "refused",
    "reset",
    "closed",  # without an answer
    "truncated",
    "status",
    "time-out",
    "wrong",  # another body than expected, or no HTTP
    "unreachable",
)
_BY_ERROR = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ETIMEDOUT: "time-out",
}
_VERSION = re.compile(rb'release (\S+)|"release":"(?:[^"]*/)?([^/"]+)"')
_PID = re.compile(rb"pid\W{1,3}(\d+)")


def judge(
    traffic: Traffic, number: int, sent: bytes, answer: Answer
) -> tuple[str, str]:
    """Return the fate of a request with a complete answer, and details of a loss.

    *sent* is the body of the request.
    """
    body = bytes(answer.body)
    if answer.status not in traffic.expected:
        return "status", f"{answer.status} {body[:60]!r}"
    if traffic.echoes and body != sent:
        return "wrong", f"echoed {len(body)} bytes of {len(sent)}"
    if traffic.answer_bytes not in (None, len(body)):
        return "wrong", f"{len(body)} bytes of body"
    if traffic.answer_names_number and not body.endswith(b" number %d\n" % number):
        return "wrong", f"the answer to another request: {body[-60:]!r}"
    return ANSWERED, ""


def of_error(error: OSError, *, began: bool) -> str:
    """Return the fate of a request by an error; *began* says if its answer had begun."""
    fate = _BY_ERROR.get(error.errno or 0, "unreachable")
    return "truncated" if fate == "reset" and began else fate


def version(answer: Answer) -> str:
    """Return the release that an answer names in X-Release or in its body."""
    text = answer.headers.get("x-release", "").encode() + b" " + answer.body[:200]
    found = _VERSION.search(text)
    if found is None:
        return ""
    return b"".join(filter(None, found.groups())).decode(errors="replace")


def instance(answer: Answer) -> str:
    """Return the instance that an answer names in X-Instance, else the pid in its body."""
    found = _PID.search(answer.body[:200])
    return answer.headers.get("x-instance", "") or (found[1].decode() if found else "")
