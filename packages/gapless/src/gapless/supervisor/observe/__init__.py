"""Facts of the kernel: processes, connections, and what an app waits for."""

from __future__ import annotations
