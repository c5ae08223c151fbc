"""Long work as people watch it: a picture on a terminal, lines everywhere else."""

from __future__ import annotations
