"""How often a fleet at rest asks its coordinator, as etcd itself counts."""

from __future__ import annotations

from pathlib import Path

from rig import wait
from rig.fleets.idle_agents import idle_agents


def test_agents_at_rest_ask_twice_a_beat(tmp_path: Path) -> None:
    """One read, one write and one watch for each heartbeat; by default every 30 s."""
    count = 8
    with idle_agents(tmp_path, count, "slot_ttl_s = 1\ngone_s = 6") as agents:
        before, asked_by_us = agents.counts(), 0

        def is_enough() -> bool:
            nonlocal asked_by_us
            asked_by_us += 1  # a look of ours is a question, too
            return agents.counts().beats >= before.beats + 5 * count

        wait.until(is_enough, "five beats of each", 60)
        after = agents.counts()
    beats = after.beats - before.beats
    questions = after.questions - before.questions - asked_by_us - 1
    # Of each agent one question may have come without its beat.
    assert questions <= 2 * beats + 2 * count
    assert after.watches - before.watches <= beats + 2 * count
