"""Files written for PM2: their fields, and the specs that gapless builds from them."""

from __future__ import annotations
