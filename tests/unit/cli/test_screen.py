"""Who delivers to the screen of `gapless top` does not wait for one that was closed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gapless.cli.tui import screen
from gapless.client import Client


class Slow(screen.TopScreen):
    """Says of nothing that it was taken."""

    def on_delivered(self, message: screen.Delivered) -> None:
        """Take what was brought, and let who brought it wait."""
        message.prevent_default()
        if self.query("#work"):
            message.take()


def test_a_rollback_goes_on_at_its_pace_when_the_screen_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the step that was delivered right before is waited for, nor a later one."""
    monkeypatch.setattr(screen, "TAKE_S", 600.0)
    is_closed = threading.Event()
    slow = Slow(Client(str(tmp_path), starts=False))

    def steps(take: Callable[[], None]) -> None:
        deliver = slow._from_thread(take)
        deliver()
        is_closed.wait()
        deliver()

    async def run() -> threading.Thread:
        is_delivered = asyncio.Event()
        async with slow.run_test():
            thread = threading.Thread(
                target=steps, args=(is_delivered.set,), daemon=True
            )
            thread.start()
            await is_delivered.wait()
        return thread

    thread = asyncio.run(run())
    is_closed.set()
    thread.join(60)
    assert not thread.is_alive()
