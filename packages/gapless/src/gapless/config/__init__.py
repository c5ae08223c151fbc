"""From what a user wrote to what the supervisor is asked for."""

from __future__ import annotations
