"""Run a coroutine from code that has no event loop, in a copy of its context."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end; return its result."""
    with asyncio.Runner() as runner:
        return runner.run(work, context=contextvars.copy_context())
