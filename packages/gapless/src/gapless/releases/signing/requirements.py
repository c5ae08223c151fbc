"""What signing and verifying need on this machine, checked before anything is claimed."""

from __future__ import annotations

from collections.abc import Callable

from gapless.base.errors import UnavailableError
from gapless.releases.model import ReleaseSpec
from gapless.releases.signing import ssh_keygen, trusted_files


def check_publisher(spec: ReleaseSpec) -> None:
    """Check what a publisher of an app needs.  Raises UnavailableError."""
    if spec.signers:
        trusted_files.read_signers(spec.signers, f"{spec.app}: signers")
    if spec.signing_key:
        trusted_files.check_key(spec.signing_key, f"{spec.app}: signing_key")
    if spec.signers or spec.signing_key:
        _check_program(spec.app)


def check_host(app: str, publishers: str) -> None:
    """Check what a host with `publishers` needs.  Raises UnavailableError."""
    if publishers:
        trusted_files.read_signers(publishers, f"{app}: publishers")
        _check_program(app)


def _check_program(app: str) -> None:
    try:
        ssh_keygen.program()
    except UnavailableError as error:
        raise UnavailableError(f"{app}: {error.message}", hint=error.hint) from None


def trouble(check: Callable[[], None]) -> str:
    """Return what a check complains of, with what to do; empty if it does not."""
    try:
        check()
    except UnavailableError as error:
        return f"{error.message}; {error.hint}" if error.hint else error.message
    return ""
