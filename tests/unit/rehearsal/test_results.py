"""What became of the requests of a rehearsal."""

from __future__ import annotations

from gapless.rehearsal.load.model import ANSWERED, KEPT, RESET, STATUS, Request
from gapless.rehearsal.results import Window, results

WINDOWS = [
    Window(name="at rest", began=0.0, ended=10.0),
    Window(name="over", began=10.0, ended=20.0),
    Window(name="after", began=20.0, ended=30.0),
]


def request(due: float, took_s: float = 0.1, **more: object) -> Request:
    """Return a request that ended."""
    fields: dict[str, object] = {
        "number": 1,
        "kind": KEPT,
        "path": "/",
        "began": due,
        "due": due,
        "is_reused": True,
        "fate": ANSWERED,
        "status": 200,
        "ended": due + took_s,
    }
    return Request(**(fields | more))  # type: ignore[arg-type]  # a test's own fields


def test_a_loss_counts_where_it_happened() -> None:
    """A request that began before the handoff and was cut in it is lost by the handoff."""
    found = results([request(9.9, 2.0, fate=RESET), request(9.95, 2.0)], WINDOWS)
    assert [each.requests for each in found.windows] == [1, 1, 0]
    assert [each.lost for each in found.windows] == [0, 1, 0]
    assert found.windows[1].fates == {RESET: 1}
    assert found.losses[0].window == "over"


def test_a_server_error_is_a_loss_unless_the_app_gave_it_before() -> None:
    """An app whose page is broken from the beginning is not broken by a release."""
    before = request(1.0, status=500, path="/broken")
    found = results(
        [
            before,
            request(1.0),
            request(12.0, status=500, path="/broken"),
            request(13.0, status=503),
        ],
        WINDOWS,
    )
    assert found.lost == 1
    assert found.windows[1].fates == {STATUS: 1}
    assert found.losses[0].detail == "503"


def test_another_error_of_the_request_is_told_and_no_loss() -> None:
    """A release may remove a page; who rehearses it is told."""
    found = results([request(1.0), request(21.0, status=404)], WINDOWS)
    assert found.lost == 0
    assert found.windows[2].different == {"404 for / (keep-alive)": 1}
    unknown = results([request(21.0, status=404)], WINDOWS)
    assert unknown.windows[2].different == {}


def test_percentiles_are_of_answers_from_when_they_were_due() -> None:
    """A client that had to wait with its request waited all the same."""
    times = [request(1.0 + each / 100, 0.010) for each in range(99)]
    found = results([*times, request(5.0, 0.5)], WINDOWS)
    assert found.windows[0].p50_ms == 10.0
    assert found.windows[0].p99_ms == 500.0
    assert found.windows[1].p50_ms is None
