"""What is seen of a generation on trial beside its processes: files, locks, last words."""

from __future__ import annotations
