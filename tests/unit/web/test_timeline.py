"""A release as a picture: what each generation did from when to when."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gapless.web.timeline import MOST_STEPS, timeline

RELOAD = [
    (0.0, "starting", "2 instances"),
    (0.7, "ready", "127.0.0.1:80"),
    (0.8, "switched", "watched for 0.3 s"),
    (1.1, "proven", ""),
    (1.2, "draining", "generation 1"),
    (1.4, "stopping", "generation 1: idle"),
    (1.5, "closed", "generation 1"),
]


def lanes(
    steps: list[tuple[float, str, str]],
    old: int | None = 1,
    new: int | None = 2,
    now_s: float | None = None,
) -> dict[str, str]:
    """Return each lane as one line: the kinds of its spans, and when each began."""
    found = timeline(
        {
            "generation": {"old": old, "new": new},
            "steps": [{"at_s": at, "step": s, "detail": d} for at, s, d in steps],
        },
        now_s,
    )
    return {
        lane["label"]: " ".join(
            f"{span['kind']}@{span['from_s']:g}-{span['to_s']:g}"
            for span in lane["spans"]
        )
        for lane in found["lanes"]
    }


def test_a_reload_is_two_lanes() -> None:
    """The old one serves until the switch, and is there until it has drained."""
    assert lanes(RELOAD) == {
        "generation 1": "serving@0-0.8 standby@0.8-1.2 draining@1.2-1.4 stopping@1.4-1.5",
        "generation 2": "starting@0-0.7 ready@0.7-0.8 serving@0.8-1.5",
    }


def test_a_release_that_fails_leaves_the_old_one_alone() -> None:
    """It serves from the beginning to the end."""
    steps = [
        (0.0, "starting", "2 instances"),
        (0.5, "crashed", "instance 0 exited with code 1"),
        (0.6, "failed", "instance 0 of generation 2 exited"),
        (0.6, "stopping", "generation 2: it never served"),
        (0.9, "closed", "generation 2"),
    ]
    assert lanes(steps) == {
        "generation 1": "serving@0-0.9",
        "generation 2": "starting@0-0.6 failed@0.6-0.9",
    }


def test_a_switch_that_is_taken_back_is_seen() -> None:
    """The old one serves again."""
    steps = [*RELOAD[:3], (1.0, "reverted", "generation 1 serves: it crashed")]
    found = lanes([*steps, (1.5, "closed", "generation 2")])
    assert found["generation 1"] == "serving@0-0.8 standby@0.8-1 serving@1-1.5"
    assert found["generation 2"].endswith("serving@0.8-1 failed@1-1.5")


def test_a_recycle_has_no_switch() -> None:
    """The new one serves when it is ready, and the old one gives its places up before."""
    steps = [
        (0.0, "recycling", "one instance"),
        (0.1, "draining", "instance 0"),
        (0.2, "stopping", "generation 1: idle"),
        (0.3, "ready", "instance 0"),
        (0.9, "closed", "generation 1"),
    ]
    assert lanes(steps) == {
        "generation 1": "draining@0-0.2 stopping@0.2-0.9",
        "generation 2": "starting@0-0.3 serving@0.3-0.9",
    }


def test_one_under_way_reaches_to_now() -> None:
    """The picture grows until the next step."""
    found = lanes(RELOAD[:3], now_s=2.0)
    assert found["generation 2"].endswith("serving@0.8-2")


def test_a_first_start_a_stop_and_a_scale_are_one_lane() -> None:
    """There is no other generation."""
    assert lanes(RELOAD[:2], old=None, new=1) == {"generation 1": "starting@0-0.7"}
    stop = [(0.0, "draining", "instance 0"), (1.0, "stopping", "generation 1: idle")]
    assert lanes([*stop, (1.2, "closed", "generation 1")], new=None) == {
        "generation 1": "draining@0-1 stopping@1-1.2"
    }
    assert lanes(RELOAD[:2], old=1, new=1) == {"generation 1": "serving@0-0.7"}


WILD: Any = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["at_s", "step", "detail", "old", "new"]), inner
        )
    ),
    max_leaves=12,
)


@given(st.fixed_dictionaries({"generation": WILD, "steps": WILD | st.lists(WILD)}))
def test_a_report_of_anybody_is_a_picture(report: dict[str, Any]) -> None:
    """It may be of another version, or of whoever may write in that directory."""
    found = timeline(report)
    for lane in found["lanes"]:
        for span in lane["spans"]:
            assert 0 <= span["from_s"] < span["to_s"] <= found["ends_s"]


def test_a_report_without_end_is_a_picture_with_one() -> None:
    """What is too much is in the report alone."""
    steps = [(float(n), "waiting", "x" * 9999) for n in range(5000)]
    found = timeline(
        {"steps": [{"at_s": a, "step": s, "detail": d} for a, s, d in steps]}
    )
    assert len(found["marks"]) == MOST_STEPS
    assert max(len(each["detail"]) for each in found["marks"]) == 400
