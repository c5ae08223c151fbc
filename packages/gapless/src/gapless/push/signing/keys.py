"""The key with which `gapless push --sign` signs: one that is named, or one there is.

In this order: the key that was named, the one with which git signs by ssh
(`gpg.format = ssh` and `user.signingkey`, git-config(1)), ~/.ssh/id_ed25519, id_ecdsa and
id_rsa, and the first key of the agent (ssh-add(1)).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from gapless.base.errors import NotFoundError

DEFAULTS = ("id_ed25519", "id_ecdsa", "id_rsa")
_LITERALS = ("ssh-", "ecdsa-", "sk-", "key::")
"""How a public key begins that stands in git's configuration itself."""
_ASK_S = 10.0

Run = Callable[[tuple[str, ...]], str]
"""Runs a command; returns what it prints, or nothing if it cannot be run or fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key that signs: a file, or a public key whose private one an agent has."""

    path: str = ""
    public: str = ""
    """The public key itself, if there is no file of it."""
    source: str = ""
    """Where it was found, for people."""


def find(given: str, home: str, run: Run) -> SigningKey:
    """Return the key: *given* is its path, or empty.  Raises NotFoundError."""
    if given:
        path = os.path.expanduser(given)
        if not os.path.isfile(path):
            raise NotFoundError(
                f"there is no key {given}",
                hint="--sign KEY names a private key, or the .pub of one in an agent",
            )
        return SigningKey(path=path, source=given)
    if run(("git", "config", "--get", "gpg.format")) == "ssh":
        key = run(("git", "config", "--get", "user.signingkey"))
        if key.startswith(_LITERALS):
            public = key.removeprefix("key::")
            return SigningKey(public=public, source="user.signingkey of git")
        if key and os.path.isfile(path := os.path.expanduser(key)):
            return SigningKey(path=path, source=f"{key}, user.signingkey of git")
    for name in DEFAULTS:
        if os.path.isfile(path := f"{home}/.ssh/{name}"):
            return SigningKey(path=path, source=f"~/.ssh/{name}")
    public = run(("ssh-add", "-L")).partition("\n")[0]
    if public.startswith(_LITERALS):
        return SigningKey(public=public, source="the first key of the ssh agent")
    raise NotFoundError(
        "there is no key to sign with: git signs with none, ~/.ssh has no "
        f"{', '.join(DEFAULTS)}, and no agent has one",
        hint="name one: --sign KEY; `ssh-keygen -t ed25519` makes one",
    )


def run_quietly(words: tuple[str, ...]) -> str:
    """Run a command; return what it prints, or nothing if it cannot be run or fails."""
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ASK_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    text = done.stdout.decode(errors="replace").strip()
    return text if done.returncode == 0 else ""
