"""What every part may use, and nothing that only one part needs."""

from __future__ import annotations
