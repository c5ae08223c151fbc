"""From the pipes of instances to files of whole lines."""

from __future__ import annotations
