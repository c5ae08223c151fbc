"""What clients request of the supervisor, and what they are answered."""

from __future__ import annotations
