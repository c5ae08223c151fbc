"""What reaches a terminal: text that can be seen, our own colours, logs of apps."""

from __future__ import annotations
