"""The command line: one file per verb, and what several verbs share."""

from __future__ import annotations
