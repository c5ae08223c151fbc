"""PM2's command line: its words and options, in terms of gapless's own verbs."""

from __future__ import annotations
