"""The publisher's signature of a rollout, and its verification by hosts."""

from __future__ import annotations

from gapless.base.errors import GaplessError, ReleaseError, UnavailableError
from gapless.releases.signing import ssh_keygen, trusted_files
from gapless.releases.signing.ssh_keygen import Signer
from gapless.releases.signing.statements import RELEASE_NAMESPACE, ReleaseStatement


def sign(key: str, statement: ReleaseStatement) -> str:
    """Return the publisher's signature.

    Raises UnavailableError if the key cannot be used now, ReleaseError.
    """
    trusted_files.check_key(key, f"{statement.app}: signing_key")
    try:
        text = statement.text()
    except ValueError as error:
        raise ReleaseError(f"{statement.app}: nothing was signed: {error}") from error
    try:
        signed = ssh_keygen.sign(text, key, RELEASE_NAMESPACE, may_ask=False)
    except GaplessError as error:
        raise UnavailableError(error.message, hint=error.hint) from error
    return signed.decode("ascii")


def verify(publishers: str, statement: ReleaseStatement, signature: str) -> Signer:
    """Return which publisher signed a rollout; *publishers* is the path of a file.

    Raises ReleaseError with the reason, and UnavailableError if nothing can be verified.
    """
    signers = trusted_files.read_signers(publishers, f"{statement.app}: publishers")
    what = f"{statement.app}: rollout {statement.number} is not followed"
    if not signature:
        raise ReleaseError(
            f"{what}: it is not signed, and `publishers` asks for it",
            hint="set signing_key in the table of the release, on the release server",
        )
    try:
        return ssh_keygen.verify(
            statement.text(),
            signature.encode(errors="replace"),
            signers,
            RELEASE_NAMESPACE,
            shown=publishers,
        )
    except (ValueError, ReleaseError) as error:
        raise ReleaseError(f"{what}: {error}") from None
