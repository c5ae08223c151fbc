"""Which releases are superfluous, and how releases are named."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gapless.releases.model import Release, next_stamp, stamp_of
from gapless.releases.prune import superfluous


def history(count: int, current: int, failed: set[int]) -> tuple[Release, ...]:
    """Return *count* releases, oldest first."""
    return tuple(
        Release(
            app="x",
            stamp=f"{n:014d}",
            path=f"/dist/x-{n:014d}",
            is_current=n == current,
            failure="it failed" if n in failed else "",
        )
        for n in range(count)
    )


@given(
    st.integers(0, 12),
    st.integers(0, 12),
    st.sets(st.integers(0, 12)),
    st.integers(1, 6),
    st.sets(st.integers(0, 12)),
)
def test_what_runs_is_current_or_was_before_is_never_removed(
    count: int, current: int, failed: set[int], keep: int, running: set[int]
) -> None:
    """Whatever other releases there are."""
    releases = history(count, current, failed - {current})
    paths = frozenset(f"/dist/x-{n:014d}/sub" for n in running)
    gone = superfluous(releases, keep=keep, in_use=paths)
    assert not [r for r in gone if r.is_current]
    assert not [r for r in gone if int(r.stamp) in running]
    good = [r for r in releases if not r.failure]
    before = [r for r in good if int(r.stamp) < current]
    if any(r.is_current for r in releases) and before:
        assert before[-1] not in gone
    assert not set(good[-keep:]) & set(gone)


@given(st.integers(0, 10**14 - 2), st.sets(st.integers(0, 10**14 - 2), max_size=5))
def test_a_new_stamp_is_later_than_all_that_are_taken(
    now: int, taken: set[int]
) -> None:
    """Also when the clock was set back."""
    stamps = tuple(f"{n:014d}" for n in taken)
    stamp = next_stamp(f"{now:014d}", stamps)
    assert all(stamp > other for other in stamps)
    assert stamp_of("app", f"app-{stamp}") == stamp


def test_only_a_release_of_this_app_has_its_stamp() -> None:
    """Another app whose name begins alike is another app."""
    assert stamp_of("web", "web-20261124120000") == "20261124120000"
    assert stamp_of("web", "web-api-20261124120000") is None
    assert stamp_of("web", "web-2026") is None
    assert stamp_of("web", "web") is None
