"""What the kernel reports of processes and sockets, as values.  Nothing knows an app."""

from __future__ import annotations
