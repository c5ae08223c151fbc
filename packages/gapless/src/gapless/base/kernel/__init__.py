"""What every part may ask of the kernel: control groups."""

from __future__ import annotations
