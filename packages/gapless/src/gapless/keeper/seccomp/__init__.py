"""The seccomp filter of instances, and their system calls that wait for an answer."""

from __future__ import annotations
