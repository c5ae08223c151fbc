"""Programs that tests start: databases, drivers, sshd, apps and their declarations."""

from __future__ import annotations
