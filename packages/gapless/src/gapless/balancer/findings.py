"""Which settings of a balancer are wrong, judged by how requests ended.  Pure."""

from __future__ import annotations

from gapless.balancer.request_kinds import LARGE_BYTES, RequestCounts


def findings(counts: list[RequestCounts]) -> list[str]:
    """Return which settings are wrong while one server drains, and the right ones."""
    refused = {each.kind.name for each in counts if each.refused}
    found = []
    if "GET" in refused:
        found.append(
            "a refusal is not sent to another server, or not often enough: "
            "nginx: proxy_next_upstream http_503, and at least two servers; "
            "HAProxy: retry-on 503, option redispatch 1, retries 30 or more"
        )
    elif {"POST", "POST with a late body", "large POST"} <= refused:
        found.append(
            "POST is not sent to another server: "
            "nginx: non_idempotent in the location that tries a 503 again, and "
            "proxy_request_buffering on; HAProxy: option http-buffer-request"
        )
    elif "POST with a late body" in refused:
        found.append(
            "a body that comes after its head is not sent to another server: "
            "HAProxy: option http-buffer-request; nginx: proxy_request_buffering on"
        )
    elif "large POST" in refused:
        found.append(
            f"a body of {LARGE_BYTES >> 10} KiB is not sent to another server: "
            "HAProxy: tune.bufsize larger than the largest body; "
            "nginx: proxy_request_buffering on"
        )
    unanswered = [each.kind.name for each in counts if each.unanswered]
    if unanswered and unanswered != ["GET"]:
        found.append(
            f"{unanswered[0]}: the balancer waits for a body that it has sent already: "
            "nginx: proxy_request_buffering on"
        )
        return found
    late = sum(each.slow + each.unanswered for each in counts)
    if late:
        sent = sum(each.sent for each in counts)
        found.append(
            f"{late} of {sent} waited for seconds.  If the app is quicker, a server is not "
            "there, and the balancer waits for it: nginx: proxy_connect_timeout 2s; "
            "HAProxy: timeout connect 2s"
        )
    if any(each.too_large for each in counts):
        found.append(
            f"a body of {LARGE_BYTES >> 10} KiB is not taken (413): nginx: "
            "client_max_body_size"
        )
    others = {
        each: each.failed - each.unanswered - each.too_large
        for each in counts
        if each.failed > each.unanswered + each.too_large
    }
    posts_only = all(each.kind.method == "POST" for each in others)
    advice = _POSTS_ONLY if posts_only else _ANY
    found += [
        f"{each.kind.name}: {failed} of {each.sent} failed otherwise ({each.example}): "
        f"{advice}"
        for each, failed in others.items()
    ]
    return found


_GONE = "no location in which a closed port ends what another server refused"
_POSTS_ONLY = (
    "nginx: keepalive_requests 1 in each upstream (1.29.7 and newer keep connections, and "
    f"a POST on a closed one is not sent again), and {_GONE}; HAProxy: option "
    "http-server-close"
)
_ANY = (
    "nginx: max_fails=0 on each server, else a refusal counts as a failure, and "
    f"{_GONE}; HAProxy: no `observe layer7`"
)


def findings_of_next(counts: list[RequestCounts]) -> list[str]:
    """Return which settings are wrong while a second server drains after the first."""
    lost = sum(each.failed + each.refused for each in counts)
    if not lost:
        return []
    sent = sum(each.sent for each in counts)
    return [
        f"a server that refused counts as broken when it serves again: {lost} of "
        f"{sent} failed as the next one drained: nginx: max_fails=0 on each server, "
        "and a zone; HAProxy: no `observe layer7`"
    ]
