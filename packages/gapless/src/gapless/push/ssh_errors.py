"""Errors of an upload over ssh: what an exit code and the words of ssh mean.  Pure."""

from __future__ import annotations

from gapless.base.errors import GaplessError, NotFoundError
from gapless.push.destination import Destination
from gapless.push.ssh_scripts import NO_DIRECTORY, NOT_WHOLE, NOT_WRITTEN

_SSH_FAILED = 255
"""The exit code of ssh itself (ssh(1)); the remote command may have any other."""


def upload_error(
    name: str, to: Destination, code: int, stderr: str, *, sent_all: bool
) -> GaplessError:
    """Return the error that says why an upload failed."""
    what = f"could not push {name} to {to}"
    more = f"\n    {stderr}" if stderr else ""
    if code == NO_DIRECTORY:
        return NotFoundError(
            f"{what}: there is no directory {to.path} there{more}",
            hint="name the base directory, which has src/ and dist/ in it",
        )
    if code == NOT_WHOLE:
        return GaplessError(
            f"{what}: what arrived is not what was sent{more}",
            hint="nothing of it was left there; push again",
        )
    if code == NOT_WRITTEN:
        return GaplessError(
            f"{what}: it could not be written there{more}",
            hint="nothing of it was left there",
        )
    if code == _SSH_FAILED:
        hint = _ssh_hint(stderr, to.host)
        if sent_all:
            hint += "; everything had been sent, so check whether it arrived"
        return GaplessError(f"{what}: ssh failed{more}", hint=hint)
    return GaplessError(f"{what}: the command there ended with code {code}{more}")


def _ssh_hint(stderr: str, host: str) -> str:
    if "ost key" in stderr or "HOST IDENTIFICATION" in stderr:
        return (
            "its host key is not known here, or is not the known one: compare it, then "
            f"`ssh-keyscan {host.rpartition('@')[2]} >> ~/.ssh/known_hosts`, or connect "
            "once by hand"
        )
    if "ermission denied" in stderr:
        return f"`ssh {host}` has to work without a password where there is no terminal"
    return f"does `ssh {host} true` work?"
