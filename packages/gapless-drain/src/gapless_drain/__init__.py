"""Counts what is under way in a web app; in a drain, refuses what is new and lets it end.

from gapless_drain import Drain

drain = Drain()
app = drain.asgi(app)  # or drain.wsgi(app)

with drain.procedure("close the month"):
    ...
"""

from __future__ import annotations

from gapless_drain.core import Draining, Mode
from gapless_drain.drain import Drain

__all__ = ["Drain", "Draining", "Mode"]
__version__ = "0.1.0"
