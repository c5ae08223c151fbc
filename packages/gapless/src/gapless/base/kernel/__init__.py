"""What every part may ask of the kernel: of control groups, processes and sockets."""

from __future__ import annotations
