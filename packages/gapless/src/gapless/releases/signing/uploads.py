"""Signed uploads: whether the publisher may open one.

`NAME.sig` beside the upload NAME is the statement of who pushed it (`statements`) and then
its signature (spec/uploads.md).  It is read once, within a limit, before the upload is
claimed or opened.  The digest in it is compared with that of the bytes that are unpacked.
"""

from __future__ import annotations

import datetime as dt
import errno
import os

from gapless.base import clock
from gapless.base.errors import ReleaseError
from gapless.base.outside import files
from gapless.base.outside.text import printable
from gapless.releases.model import ReleaseSpec
from gapless.releases.signing import records, requirements, ssh_keygen, trusted_files
from gapless.releases.signing.records import Signed
from gapless.releases.signing.statements import (
    UPLOAD_NAMESPACE,
    UploadStatement,
    read_upload,
)

ENDING = ".sig"
MOST_BYTES = ssh_keygen.MOST_SIGNATURE + 1024
CLOCK_AHEAD_S = 600.0
"""A signature of the future would keep out every later one."""
_WHY = {
    errno.ELOOP: "it is a link",
    errno.EINVAL: "it is not a regular file",
    errno.ENXIO: "it is not a regular file",
    errno.EFBIG: f"it has more than {MOST_BYTES} bytes",
}
_SIGN = "`gapless push --sign` makes it"


def check(spec: ReleaseSpec, upload: str, sha256: str, signature_path: str) -> Signed:
    """Return who signed an upload whose bytes have that SHA-256.

    *upload* is its name, for messages.  Raises ReleaseError with the reason for which it is
    refused, and UnavailableError if nothing can be verified now, and it has to wait.
    """
    requirements.check_publisher(spec)
    signers = trusted_files.read_signers(spec.signers, f"{spec.app}: signers")
    latest_ns = records.latest_ns(spec)
    try:
        text, statement, signature = read(signature_path)
        signer = ssh_keygen.verify(
            text, signature, signers, UPLOAD_NAMESPACE, shown=spec.signers
        )
        _check_statement(spec.app, statement, sha256, latest_ns)
    except ReleaseError as error:
        # Who pushes is shown the message alone, so what to do stands in it.
        hint = f"; {error.hint}" if error.hint else ""
        raise ReleaseError(
            f"{spec.app}: {printable(upload)} was refused before it was opened: "
            f"{error.message}{hint}"
        ) from None
    return Signed(
        by=signer.name, key=signer.key, sha256=sha256, signed_ns=statement.signed_ns
    )


def read(signature_path: str) -> tuple[bytes, UploadStatement, bytes]:
    """Return the text, the statement in it, and the signature of a `.sig` file.

    Nothing of it is verified.  Raises ReleaseError.
    """
    try:
        content = files.read(signature_path, MOST_BYTES)
    except FileNotFoundError:
        raise ReleaseError(
            "it is not signed, and `signers` asks for it: there is no "
            f"{printable(os.path.basename(signature_path))} beside it",
            hint=_SIGN,
        ) from None
    except OSError as error:
        reason = _WHY.get(error.errno or 0, (error.strerror or str(error)).lower())
        raise ReleaseError(
            f"its {ENDING} file cannot be read: {reason}", hint=_SIGN
        ) from None
    text, begin, rest = content.partition(ssh_keygen.BEGIN)
    try:
        statement = read_upload(text)
    except ValueError as error:
        raise ReleaseError(f"its {ENDING} file is none: {error}", hint=_SIGN) from None
    return text, statement, begin + rest


def _check_statement(
    app: str, statement: UploadStatement, sha256: str, latest_ns: int
) -> None:
    if statement.app != app:
        raise ReleaseError(f"it was signed for the app {statement.app}")
    if statement.sha256 != sha256:
        raise ReleaseError(
            "it is not what was signed: its SHA-256 is "
            f"{sha256}, that of the signed one {statement.sha256}"
        )
    if statement.signed_ns <= latest_ns:
        raise ReleaseError(
            f"it was signed at {_time(statement.signed_ns)}, not after the upload that "
            f"was published last ({_time(latest_ns)}): an older one is not taken again",
            hint="push it again, which signs it anew; if it is refused again, set the "
            "clocks of those who sign",
        )
    if statement.signed_ns > (clock.wall() + CLOCK_AHEAD_S) * 1e9:
        raise ReleaseError(
            f"it was signed at {_time(statement.signed_ns)}, which is still to come",
            hint="set the clock of the machine that signs",
        )


def _time(ns: int) -> str:
    try:
        at = dt.datetime.fromtimestamp(ns / 1e9, dt.UTC)
    except (ValueError, OverflowError, OSError):
        return f"{ns} ns"
    return f"{at:%Y-%m-%dT%H:%M:%S}.{ns // 1_000_000 % 1000:03d}Z"
