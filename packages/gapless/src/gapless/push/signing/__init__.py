"""Sign an upload with a key that people have."""

from __future__ import annotations
