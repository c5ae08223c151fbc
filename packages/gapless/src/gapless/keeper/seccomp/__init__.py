"""The filter under which instances run, and the system calls that wait for an answer."""

from __future__ import annotations
