"""Which versions of supervisor and keeper run, beside the one that is installed."""

from __future__ import annotations

import os
from typing import Any

import gapless
from gapless.client import Client

ASK_S = 2
"""How long a supervisor may take to say of which version it is."""


def ask(client: Client) -> dict[str, Any] | None:
    """Return what the supervisor tells of itself; None if none answers.  Starts nothing."""
    return client.ping(ASK_S)


def described(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return supervisor and keeper with their version (None: unknown) and pid."""
    return [
        {
            "process": "supervisor",
            "version": found.get("version"),
            "pid": found.get("pid"),
        },
        {
            "process": "keeper",
            "version": found.get("keeper_version"),
            "pid": found.get("keeper_pid"),
        },
    ]


def lines(found: dict[str, Any]) -> list[str]:
    """Return one line for each process that runs."""
    return [
        f"{each['process']} {each['version'] or 'of an earlier version'} "
        f"(pid {each['pid']})"
        for each in described(found)
    ]


def trouble(found: dict[str, Any]) -> str:
    """Return how what runs differs from what is installed; empty if it does not."""
    installed = gapless.__version__
    other = [
        f"the {each['process']} (pid {each['pid']}) is "
        + (f"version {each['version']}" if each["version"] else "an earlier version")
        for each in described(found)
        if each["version"] != installed
    ]
    if other:
        return f"{' and '.join(other)}; {installed} is installed"
    package = found.get("package")
    if isinstance(package, str) and not os.path.isdir(f"{package}/gapless"):
        return (
            f"the files of the supervisor (pid {found.get('pid')}) are gone: {package}"
        )
    return ""
