"""What the verbs about releases and fleets share."""

from __future__ import annotations
