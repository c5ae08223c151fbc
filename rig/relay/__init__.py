"""The supervisor's relay between real clients and real programs."""

from __future__ import annotations
