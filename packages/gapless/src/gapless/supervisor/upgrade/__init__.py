"""The running supervisor is replaced by the version that is installed."""

from __future__ import annotations
