"""What several verbs print: steps, reports, rollouts, changes, work under way."""

from __future__ import annotations
