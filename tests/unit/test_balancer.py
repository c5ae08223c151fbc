"""What a balancer is told, and what is concluded from its answers."""

from __future__ import annotations

import pytest

from gapless.balancer import probing
from gapless.balancer.model import Pool


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"servers": ("10.0.0.2:1",)}, "one server cannot hand a request to another"),
        ({"servers": ("10.0.0.2:1", "10.0.0.2:1")}, "named twice"),
        ({"servers": ("10.0.0.2", "10.0.0.3:1")}, "'10.0.0.2' is no address"),
        ({"servers": ("10.0.0.2:70000", "b:1")}, "'10.0.0.2:70000' is no address"),
        ({"servers": (":1", "b:1")}, "a server needs a host"),
        ({"name": "a b"}, "name 'a b'"),
        ({"health": "health"}, "write a path"),
        ({"health": "/a b"}, "write a path"),
        ({"listen": "80"}, "'80' is no address"),
    ],
)
def test_a_pool_that_cannot_be_says_why(fields: dict[str, object], said: str) -> None:
    """Nothing of it gets into a configuration."""
    plain: dict[str, object] = {"name": "app", "servers": ("a:1", "b:2")}
    pool = Pool(**(plain | fields))  # type: ignore[arg-type]  # fields of it
    assert said in "; ".join(pool.mistakes())
    assert Pool(name="app", servers=("a:1", "[::1]:2"), health="/h").mistakes() == []


def tallies(*refused: str, failed: str = "") -> list[probing.Tally]:
    """Return answers in which these kinds were refused."""
    return [
        probing.Tally(
            kind=kind,
            asked=24,
            refused=12 if kind.name in refused else 0,
            failed=3 if kind.name == failed else 0,
        )
        for kind in probing.KINDS
    ]


POSTS = ("POST", "POST with a late body", "large POST")


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (("GET", *POSTS), "not sent to another server at all"),
        (POSTS, "non_idempotent"),
        (("POST with a late body", "large POST"), "a body that comes after its head"),
        (("large POST",), "tune.bufsize"),
    ],
)
def test_what_is_wrong_is_concluded(refused: tuple[str, ...], said: str) -> None:
    """The widest mistake that explains the answers, and only that."""
    (finding,) = probing.findings(tallies(*refused))
    assert said in finding


def test_other_failures_are_told_apart() -> None:
    """A 502 is no refusal."""
    assert probing.findings(tallies()) == []
    (finding,) = probing.findings(tallies(failed="GET"))
    assert "GET: 3 of 24 failed otherwise" in finding
    assert "max_fails=0" in finding
