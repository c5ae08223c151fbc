"""What faces ask of the supervisor, and what they are told."""

from __future__ import annotations
