"""What is printed of each step: a sentence whose subject is what changes."""

from __future__ import annotations

import pytest

from gapless.cli.display import reports, steps
from gapless.deploy import report

SENTENCES = {
    ("starting", "1 instance"): "generation 2 starts: 1 instance",
    ("ready", "127.0.0.1:80"): "generation 2 listens on 127.0.0.1:80",
    ("ready", ""): "generation 2 is ready",
    ("ready", "instance 1"): "instance 1 of generation 2 is ready",
    ("probed", "GET /up answered 200"): "generation 2 is ready: GET /up answered 200",
    ("switched", "watched for 2 s"): (
        "generation 2 takes all new connections, and is watched for 2 s"
    ),
    ("draining", "generation 1"): "generation 1 drains",
    ("draining", "instance 0"): "instance 0 drains",
    ("stopping", "generation 1: idle"): "generation 1 stops: idle",
    ("closed", "generation 1"): "generation 1 has ended",
    ("trying on", "generation 1"): "generation 1 is tried on",
    ("trying on", "it is late"): "generation 2 is tried on: it is late",
    ("crashed", "instance 0 exited {}"): "generation 2 crashed: instance 0 exited {}",
    ("unseen", "no diag"): "warning: no diag",
}


@pytest.mark.parametrize("step", SENTENCES)
def test_a_step_is_a_sentence_about_the_generation_that_it_changes(
    step: tuple[str, str],
) -> None:
    """Of the old one in a handoff too, whose number is in the detail."""
    assert steps.line("shop", *step, 2) == f"shop: {SENTENCES[step]}"


def test_steps_of_a_publish_are_in_plain_words() -> None:
    """What tells people nothing is not shown."""
    assert steps.line("shop", "claimed", "shop.tar.gz") == "shop: took shop.tar.gz"
    assert steps.line("shop", "built", "0 commands") == "shop: no build commands"
    assert steps.line("shop", "built", "1 command") == "shop: built with 1 command"
    assert not steps.line("shop", "sealed", "20261129232723")
    assert steps.line("shop", "flipped", "dist/shop -> shop-2") == (
        "shop: link dist/shop -> shop-2"
    )


def test_a_handoff_within_a_publish_has_the_clock_of_the_publish() -> None:
    """The same in what is printed as in the report that is kept."""
    own = [{"step": "claimed", "at_s": 0.01}, {"step": "flipped", "at_s": 2.9}]
    handoff = [{"step": "starting", "at_s": 0.0}, {"step": "proven", "at_s": 2.4}]
    merged = report.merged(own, handoff, 0.4)
    assert [each["at_s"] for each in merged] == [0.01, 0.4, 2.8, 2.9]
    assert report.shifted(handoff[1], 0.4) in merged


def test_a_rollback_names_both_releases_and_both_ways(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Back once more, and forward."""
    done = report.without_handoff("shop") | {"action": "rollback"}
    done["release"] = {"old": "shop-2", "new": "shop-1"}
    reports.print_report(done)
    printed = capsys.readouterr().out
    assert "shop: rolled back from shop-2 to shop-1" in printed
    assert "`gapless rollback shop shop-2` goes forward again" in printed


def test_a_step_is_told_with_its_time_or_not_at_all() -> None:
    """In a rehearsal as elsewhere: one concept has one word."""
    event = {"app": "shop", "step": "ready", "detail": "127.0.0.1:80", "at_s": 0.5}
    assert steps.timed({**event, "generation": 2}) == (
        "shop: generation 2 listens on 127.0.0.1:80 (0.50 s)"
    )
    assert steps.timed({**event, "step": "sealed"}) == ""
