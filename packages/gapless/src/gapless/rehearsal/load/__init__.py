"""The strict load of a rehearsal: each request is sent once, and each loss is named."""

from __future__ import annotations
