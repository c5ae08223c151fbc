"""What is signed: small texts with one form only.  Pure.

Rule 1: a text says everything that its signature is to be good for, the app first: a
signature fits no other app, no other bytes, no other rollout.
Rule 2: two different statements have different texts, and a text that is read is the one
that would be written: no value holds the end of a line, none is empty, and the order of the
lines is fixed.
Rule 3: each kind has a namespace of its own (PROTOCOL.sshsig of OpenSSH): a signature of an
upload is none of a release, and neither is one of a commit or a mail.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gapless.base.names import is_app_name
from gapless.releases.model import stamp_of

UPLOAD_NAMESPACE = "gapless-upload@gapless"
RELEASE_NAMESPACE = "gapless-release@gapless"
_UPLOAD, _RELEASE = "gapless upload 1", "gapless release 1"
"""The first lines; the number is raised when a field is added."""
_NOTHING = "-"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
MOST_NUMBER = (1 << 63) - 1
MOST_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadStatement:
    """What who pushes signs: these bytes are a release of that app."""

    app: str
    sha256: str
    """Of the tarball, in hexadecimal."""
    signed_ns: int
    """When it was signed, in nanoseconds since 1970: an older one is not taken again."""

    def text(self) -> bytes:
        """Return what is signed.  Raises ValueError if a field cannot stand in it."""
        _check_app(self.app)
        _check_digest(self.sha256)
        _check_number(self.signed_ns)
        return _lines(
            _UPLOAD, app=self.app, sha256=self.sha256, signed_ns=str(self.signed_ns)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseStatement:
    """What the publisher signs: this rollout of that app brings that tree."""

    app: str
    number: int
    """Of the rollout; it only rises."""
    release: str
    tree: str
    """SHA-256 of the list of the release's files."""
    previous: str = ""
    """The release that hosts go back to; empty: none."""
    previous_tree: str = ""
    """Empty: no list of its files was written."""
    upload_signed_by: str = ""
    """Who signed the upload, as the publisher has verified; empty: nobody had to."""

    def text(self) -> bytes:
        """Return what is signed.  Raises ValueError if a field cannot stand in it."""
        _check_app(self.app)
        _check_number(self.number)
        _check_release(self.app, self.release)
        _check_digest(self.tree)
        if self.previous:
            _check_release(self.app, self.previous)
        if self.previous_tree:
            _check_digest(self.previous_tree)
        if self.upload_signed_by and not is_signer_name(self.upload_signed_by):
            raise ValueError(f"{self.upload_signed_by!r} cannot name a signer")
        return _lines(
            _RELEASE,
            app=self.app,
            number=str(self.number),
            release=self.release,
            tree=self.tree,
            previous=self.previous or _NOTHING,
            previous_tree=self.previous_tree or _NOTHING,
            upload_signed_by=self.upload_signed_by or _NOTHING,
        )


def read_upload(content: bytes) -> UploadStatement:
    """Return the statement of a text.  Raises ValueError if it is not in the one form."""
    try:
        first, *lines, end = content.decode().split("\n")
        fields = dict(line.split(" ", 1) for line in lines)
        app, sha256, signed_ns = (fields[k] for k in ("app", "sha256", "signed_ns"))
        if first != _UPLOAD or end or not _NUMBER.fullmatch(signed_ns):
            raise ValueError
        found = UploadStatement(app=app, sha256=sha256, signed_ns=int(signed_ns))
        if found.text() != content:
            raise ValueError
    except (ValueError, KeyError):
        raise ValueError(f"it does not begin with the lines of {_UPLOAD!r}") from None
    return found


def is_signer_name(name: str) -> bool:
    """Return whether a principal can be shown, signed and handed to a command."""
    fits = 0 < len(name) <= MOST_NAME and name.isprintable() and name.isascii()
    return fits and " " not in name and not name.startswith("-")


def _lines(first: str, **fields: str) -> bytes:
    return "".join(
        f"{line}\n" for line in (first, *(f"{k} {v}" for k, v in fields.items()))
    ).encode()


def _check_app(app: str) -> None:
    if not is_app_name(app):
        raise ValueError(f"{app!r} cannot name an app")


def _check_release(app: str, release: str) -> None:
    if stamp_of(app, release) is None:
        raise ValueError(f"{release!r} is no release of {app}")


def _check_digest(digest: str) -> None:
    if not _SHA256.fullmatch(digest):
        raise ValueError(f"{digest!r} is no SHA-256")


def _check_number(number: int) -> None:
    if type(number) is not int or not 0 <= number <= MOST_NUMBER:
        raise ValueError(f"{number!r} is no number of 63 bits")
