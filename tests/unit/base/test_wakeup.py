"""A loop that calls what is ready, whatever the callbacks raise."""

from __future__ import annotations

import os
import selectors

import pytest

from gapless.base import wakeup


def test_a_callback_that_raises_hurts_no_other() -> None:
    """Its error is handed over, and the callbacks of the others are called."""
    read_ends: list[int] = []
    called: list[int] = []
    failures: list[Exception] = []
    with selectors.DefaultSelector() as selector:
        for number in range(3):
            read_end, write_end = os.pipe()
            os.close(write_end)
            read_ends.append(read_end)

            def call(number: int = number) -> None:
                called.append(number)
                if number == 1:
                    raise IndexError(number)

            selector.register(read_end, selectors.EVENT_READ, call)
        wakeup.call_ready(selector, 1, failures.append)
    for read_end in read_ends:
        os.close(read_end)
    assert sorted(called) == [0, 1, 2]
    assert [repr(error) for error in failures] == ["IndexError(1)"]


def test_a_loop_may_end_by_what_a_callback_raised() -> None:
    """A supervisor ends where its keeper is gone."""

    def lost() -> None:
        raise EOFError

    def failed(error: Exception) -> None:
        raise error

    with pytest.raises(EOFError):
        wakeup.guard(lost, failed)
