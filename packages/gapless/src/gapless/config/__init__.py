"""From the files and options of a user to the specs that the supervisor gets."""

from __future__ import annotations
