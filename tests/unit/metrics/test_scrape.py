"""What a scrape tells of the processes of gapless."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gapless.base.errors import UnavailableError
from gapless.metrics import scrape
from gapless.metrics.host_samples import Listed
from gapless.metrics.scrape import Scrapes

BURNS = """
import time
while time.process_time() < 0.05:
    pass
print(flush=True)
input()
"""


def test_what_relays_that_ended_have_used_counts_on() -> None:
    """They are told together, and a counter never goes back."""
    pids: list[int] = []
    scrapes = Scrapes(lambda: {"supervisor": {"queue_relay_pids": pids}}, dict)

    def told() -> dict[str, float]:
        found = [e for e in scrapes.samples() if e.labels == ("queue_relays",)]
        return {each.name: each.value for each in found}

    def cpu_s() -> float:
        return told()["gapless_process_cpu_seconds_total"]

    def started() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", BURNS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.readline()  # it has used its time
        pids.append(process.pid)
        return process

    assert told() == {}
    with started() as first:
        of_one = told()
        with started() as second:
            of_both = told()
            assert min(of_both[name] / of_one[name] for name in of_one) > 1
            first.communicate(b"\n")
            del pids[0]
            assert cpu_s() >= of_both["gapless_process_cpu_seconds_total"]
            second.communicate(b"\n")
    pids.clear()
    assert told() == {}
    with started() as third:
        assert cpu_s() >= of_both["gapless_process_cpu_seconds_total"] + 0.04
        third.communicate(b"\n")


def test_what_a_relay_has_used_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor that does not answer has not said that its relays ended."""
    monkeypatch.setattr(scrape, "FRESH_S", 0.0)
    answers = True

    def ask() -> Listed:
        if not answers:
            raise UnavailableError("it hangs")
        return {"supervisor": {"queue_relay_pids": [process.pid]}}

    def cpu_s() -> list[float]:
        name = "gapless_process_cpu_seconds_total"
        return [
            each.value
            for each in scrapes.samples()
            if each.labels == ("queue_relays",) and each.name == name
        ]

    command = [sys.executable, "-c", BURNS]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        process.stdout.readline()
        scrapes = Scrapes(ask, dict)
        before = cpu_s()
        for _ in range(3):
            answers = False
            assert cpu_s() == []
            answers = True
            assert cpu_s() == before
        process.communicate(b"\n")
