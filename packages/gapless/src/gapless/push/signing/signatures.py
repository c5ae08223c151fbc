"""Sign an upload: what `NAME.sig` holds (spec/uploads.md)."""

from __future__ import annotations

import os
import tempfile

from gapless.base import clock, files
from gapless.push.signing.keys import SigningKey
from gapless.releases.signing import ssh_keygen
from gapless.releases.signing.statements import UPLOAD_NAMESPACE, UploadStatement


def of_upload(app: str, sha256: str, key: SigningKey) -> bytes:
    """Return the statement that an upload is of an app, and its signature.

    ssh-keygen may ask for a passphrase at the terminal.  Raises GaplessError.
    """
    signed_ns = int(clock.wall() * 1e9)
    text = UploadStatement(app=app, sha256=sha256, signed_ns=signed_ns).text()
    return text + _sign(text, key)


def _sign(text: bytes, key: SigningKey) -> bytes:
    if key.path:
        return ssh_keygen.sign(text, key.path, UPLOAD_NAMESPACE, may_ask=True)
    with tempfile.TemporaryDirectory(prefix="gapless-") as folder:
        path = os.path.join(folder, "key.pub")
        files.write_new(path, f"{key.public}\n".encode())
        return ssh_keygen.sign(text, path, UPLOAD_NAMESPACE, may_ask=True)
