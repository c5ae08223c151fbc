"""Mounts that only the running processes of a host see: each mount namespace gets them."""

from __future__ import annotations

import contextlib
import os
import subprocess


def run_in_each_namespace(pids: set[int], *command: str) -> None:
    """Run a command in every mount namespace of *pids*, once in each."""
    namespaces: dict[str, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            namespaces.setdefault(os.readlink(f"/proc/{pid}/ns/mnt"), pid)
    for pid in namespaces.values():
        argv = ["nsenter", "--mount", "--target", str(pid), *command]
        subprocess.run(argv, check=True, capture_output=True)
