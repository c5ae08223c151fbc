"""Sign and verify with `ssh-keygen -Y` (OpenSSH 8.2 or newer; ssh-keygen(1)).

Rule: nothing from outside is an argument.  Signature and signers are files that this module
writes to a directory of its own, and the statement is standard input.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

from gapless.base import files
from gapless.base.errors import GaplessError, ReleaseError, UnavailableError
from gapless.base.outside.text import printable
from gapless.releases.signing.statements import is_signer_name

PROGRAM = "ssh-keygen"
MISSING = f"{PROGRAM} is not installed (no {PROGRAM!r} in PATH)"
INSTALL = "install OpenSSH's client: `apt install openssh-client`"
MOST_SIGNATURE = 16 << 10
BEGIN, END = b"-----BEGIN SSH SIGNATURE-----\n", b"-----END SSH SIGNATURE-----\n"
_VERIFY_S, _SIGN_S, _ASK_S = 20.0, 20.0, 300.0
_MOST_PRINCIPALS = 16
_KEY = re.compile(r" key (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Who made a signature."""

    name: str
    """The principal, as the file of allowed signers has it."""
    key: str = ""
    """The fingerprint of the key."""


def program() -> str:
    """Return the path of ssh-keygen.  Raises UnavailableError."""
    found = shutil.which(PROGRAM)
    if not found:
        raise UnavailableError(MISSING, hint=INSTALL)
    return os.path.abspath(found)


def verify(
    statement: bytes, signature: bytes, signers: bytes, namespace: str, *, shown: str
) -> Signer:
    """Return who signed a statement, if one of *signers* may now, in *namespace*.

    *shown* is the path of the signers, for messages.  Raises ReleaseError with the reason,
    and UnavailableError if ssh-keygen cannot be run.
    """
    if not is_armored(signature):
        raise ReleaseError("its signature is none of ssh-keygen")
    with tempfile.TemporaryDirectory(prefix="gapless-") as folder:
        allowed, signed = f"{folder}/allowed_signers", f"{folder}/signature"
        for path, content in ((allowed, signers), (signed, signature)):
            files.write_new(path, content)
        which = ("-s", signed, "-f", allowed)
        found = _run(("-Y", "find-principals", *which), b"", _VERIFY_S)
        names = found.stdout.decode(errors="replace").splitlines()
        names = [name for name in names if is_signer_name(name)]
        reason = _reason(found.stderr, allowed, shown)
        for name in names[:_MOST_PRINCIPALS]:
            words = ("-Y", "verify", "-n", namespace, "-I", name, *which)
            checked = _run(words, statement, _VERIFY_S)
            if found.returncode == 0 and checked.returncode == 0:
                key = _KEY.search(checked.stdout.decode(errors="replace"))
                return Signer(name=name, key=key[1] if key else "")
            reason = _reason(checked.stderr, allowed, shown)
    if not names:
        who = f"its key is not, or not now, of one of the signers in {shown}"
        detail = "" if reason == "no principal matched" else f": {reason}"
        raise ReleaseError(f"{who}{detail}")
    raise ReleaseError(f"its signature is not valid: {reason}")


def sign(statement: bytes, key: str, namespace: str, *, may_ask: bool) -> bytes:
    """Return the signature of a statement by a key (a file; a public one by an agent).

    *may_ask*: ssh-keygen may ask at the terminal for a passphrase, or for a touch of a key.
    Raises GaplessError with the words of ssh-keygen, UnavailableError.
    """
    words = ("-Y", "sign", "-n", namespace, "-f", os.path.abspath(key))
    done = _run(words, statement, _ASK_S if may_ask else _SIGN_S, may_ask=may_ask)
    if done.returncode or not is_armored(done.stdout):
        raise GaplessError(
            f"could not sign with {key}: {_reason(done.stderr, '', '')}",
            hint="does `ssh-keygen -Y sign -n test -f KEY < FILE` work?",
        )
    return done.stdout


def is_armored(signature: bytes) -> bool:
    """Return whether something has the outer form of a signature, and no more than that."""
    fits = len(signature) <= MOST_SIGNATURE and signature.startswith(BEGIN)
    return fits and signature.endswith(END) and signature.count(b"-----BEGIN") == 1


def _run(
    words: tuple[str, ...], stdin: bytes, timeout_s: float, *, may_ask: bool = False
) -> subprocess.CompletedProcess[bytes]:
    """Run ssh-keygen; only *may_ask* gives it a terminal.  Raises UnavailableError."""
    environment = os.environ | {"LC_ALL": "C"}
    if not may_ask:
        environment["SSH_ASKPASS_REQUIRE"] = "never"
    try:
        return subprocess.run(
            [program(), *words],
            input=stdin,
            capture_output=True,
            timeout=timeout_s,
            env=environment,
            start_new_session=not may_ask,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{PROGRAM} did not end in {timeout_s:g} s") from None
    except UnavailableError:
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UnavailableError(f"{PROGRAM} could not be run: {reason}") from error


def _reason(stderr: bytes, path: str, shown: str) -> str:
    """Return what ssh-keygen has said, with the path that people know."""
    text = stderr.decode(errors="replace")
    if path:
        text = text.replace(path, shown)
    lines = [printable(line.strip()) for line in text.splitlines()]
    said = [
        line
        for line in lines
        if line.strip("@ ") and not line.startswith("Signing data")
    ]
    if len(said) > 1 and said[-1] == "No principal matched.":
        said.pop()
    return (
        "; ".join(said)[:500].rstrip(".").replace("No p", "no p") or "no reason given"
    )
