"""What the kernel tells of processes and sockets, as values; nothing here knows an app."""

from __future__ import annotations
