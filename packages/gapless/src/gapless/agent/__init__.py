"""What follows a rollout on each host, and what begins and ends one where releases are."""

from __future__ import annotations
