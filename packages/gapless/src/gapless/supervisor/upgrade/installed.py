"""Whether the files of an install are of one version, and whole.

`pip` removes the files of the old version, writes those of the new one, and at last their
list (RECORD, of the directory `gapless-VERSION.dist-info`), with the size and the hash of
each.  Until then there is no such directory, or there are two.  An install without one (a
copy, an editable install) is judged by what can be imported.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator

from gapless.base.errors import UnavailableError

HINT = (
    "wait until the install has ended, or install it again; what runs goes on as it was"
)
_NAME, _ENDING = "gapless-", ".dist-info"
LONGEST_RECORD_BYTES = 4 << 20
_LONGEST_FILE_BYTES = 16 << 20


def package_directory() -> str:
    """Return the directory in which this process found `gapless`."""
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))


def modules(directory: str, part: str = "gapless") -> Iterator[str]:
    """Yield the paths of the Python files of a part of the package, sorted."""
    for path, inside, names in os.walk(f"{directory}/{part}"):
        inside[:] = sorted(name for name in inside if name != "__pycache__")
        yield from (f"{path}/{name}" for name in sorted(names) if name.endswith(".py"))


def fingerprint(directory: str) -> str:
    """Return what changes when a Python file of the package does.  Raises OSError."""
    seen, count = 0, 0
    for path in modules(directory):
        found = os.stat(path)
        line = f"{path}\0{found.st_size}\0{found.st_mtime_ns}\n"
        seen, count = zlib.crc32(line.encode(), seen), count + 1
    return f"{count} files, {seen:08x}"


def check(directory: str, version: str) -> None:
    """Refuse an install whose files are not those that its list has.

    Raises UnavailableError.
    """
    try:
        found = sorted(
            name
            for name in os.listdir(directory)
            if name.startswith(_NAME) and name.endswith(_ENDING)
        )
        if not found:
            return
        if len(found) > 1:
            raise _broken(directory, f"there are {' and '.join(found)}")
        listed = found[0].removeprefix(_NAME).removesuffix(_ENDING)
        if listed != version:
            raise _broken(
                directory, f"{found[0]} is there, and the files are of {version}"
            )
        _check_list(directory, found[0])
    except OSError as error:
        reason = f"{error.filename}: {(error.strerror or str(error)).lower()}"
        raise _broken(directory, reason) from error


def _check_list(directory: str, listed_in: str) -> None:
    path = f"{directory}/{listed_in}/RECORD"
    with open(path, "rb") as file:
        lines = file.read(LONGEST_RECORD_BYTES).decode(errors="replace").splitlines()
    for line in lines:
        name, _, rest = line.rpartition(",")[0].rpartition(",")
        if not (name.startswith("gapless/") and name.endswith(".py")):
            continue
        if ".." in name.split("/"):
            raise _broken(directory, f"{listed_in}/RECORD names {name[:200]!a}")
        kind, _, wanted = rest.partition("=")
        if kind == "sha256" and not _is_file_of(f"{directory}/{name}", wanted):
            raise _broken(directory, f"{name} is not the file of {listed_in}")


def _is_file_of(path: str, wanted: str) -> bool:
    import base64  # noqa: PLC0415 - in a trial alone: libcrypto takes 4 MB
    import binascii  # noqa: PLC0415 - in a trial alone
    import hashlib  # noqa: PLC0415 - in a trial alone

    try:
        digest = base64.urlsafe_b64decode(wanted + "=" * (-len(wanted) % 4))
    except (binascii.Error, ValueError):
        return False
    with open(path, "rb") as file:
        return hashlib.sha256(file.read(_LONGEST_FILE_BYTES)).digest() == digest


def _broken(directory: str, reason: str) -> UnavailableError:
    return UnavailableError(
        f"the install in {directory} is not whole: {reason}", hint=HINT
    )
