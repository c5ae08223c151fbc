"""The beginning of gapless.pyz: unpack the program once, then run it from its directory.

Supervisor, keeper and guardian are interpreters of their own, apps are given files of the
program, and msgspec is compiled: all of them need files on disk.  They are unpacked below
~/.local/share/gapless, and not below a cache, which may be emptied while apps use them.
Each content has a directory of its own, so what runs keeps its files when the .pyz is
replaced.

Rule 1: nobody but the user, or root, may write what is run.
Rule 2: a directory is whole, and on disk, before it has its name.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import stat
import sys

NAME, DIGEST = "", ""  # `one_file.make` fills them in
PART = ".part"
FAILED = 1


def main() -> int:
    """Run the command."""
    if sys.version_info < (3, 11):  # noqa: UP036 - any Python may be asked to run it
        version = sys.version.split()[0]
        return _refuse(f"gapless needs Python 3.11 or newer, this is {version}")
    try:
        directory = _program()
    except (OSError, ValueError) as error:
        return _refuse(f"gapless could not be unpacked: {error}")
    sys.path[0] = directory
    from gapless.__main__ import main as command  # noqa: PLC0415 - it is unpacked now

    return command()


def _refuse(reason: str, hint: str = "") -> int:
    sys.stderr.write(f"gapless: {reason}\n" + (f"hint: {hint}\n" if hint else ""))
    return FAILED


def _program() -> str:
    """Return the directory of the program, which is unpacked if it is not there.

    Raises OSError and ValueError.
    """
    above = _place()
    ending = importlib.machinery.EXTENSION_SUFFIXES[0]
    directory = f"{above}/{NAME}{ending.removesuffix('.so')}"
    if not _is_ours(directory):
        _make_own(os.path.dirname(above))
        _make_own(above)
        _unpack(above, directory, ending)
    return directory


def _place() -> str:
    """Return the directory in which programs are.  Raises ValueError."""
    chosen = os.environ.get("XDG_DATA_HOME", "")
    if chosen.startswith("/"):
        return f"{chosen.rstrip('/')}/gapless/programs"
    if os.geteuid() == 0:
        # Apps of other users read files of it: root's own directory is closed to them.
        return "/var/lib/gapless/programs"
    import pwd  # noqa: PLC0415 - rarely needed

    try:
        own = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        own = os.environ.get("HOME", "")
    if not os.path.isdir(own) or not own.startswith("/"):
        raise ValueError(
            f"user {os.geteuid()} has no home directory: set XDG_DATA_HOME"
        )
    return f"{own.rstrip('/')}/.local/share/gapless/programs"


def _is_ours(directory: str) -> bool:
    """Return whether a directory is there.  Raises ValueError if others may write it."""
    try:
        found = os.lstat(directory)
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(found.st_mode):
        raise ValueError(f"{directory} is not a directory")
    if found.st_uid != os.geteuid():
        raise ValueError(f"{directory} belongs to user {found.st_uid}")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ValueError(
            f"{directory} may be written by others: chmod go-w {directory}"
        )
    return True


def _mode() -> int:
    return 0o755 if os.geteuid() == 0 else 0o700


def _make_own(directory: str) -> None:
    """Make a directory of ours, and those above it that are missing."""
    if _is_ours(directory):
        return
    os.makedirs(os.path.dirname(directory), 0o755, exist_ok=True)
    try:
        os.mkdir(directory, _mode())
    except FileExistsError:  # another command was faster
        _is_ours(directory)
        return
    os.chmod(directory, _mode())


def _unpack(above: str, directory: str, ending: str) -> None:
    """Unpack the program, unless another command does it first."""
    import fcntl  # noqa: PLC0415 - once for each version
    import shutil  # noqa: PLC0415 - once for each version

    how = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open(above, how)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_ours(directory):
            return
        for name in os.listdir(above):
            if name.endswith(PART):  # of one that was killed
                shutil.rmtree(f"{above}/{name}")
        _write(f"{directory}{PART}", ending)
        os.rename(f"{directory}{PART}", directory)
        os.fsync(lock)
    finally:
        os.close(lock)


def _write(part: str, ending: str) -> None:
    """Write what this Python can use.  Raises ValueError for a file that has changed."""
    files = _content()
    compiled = [name for name in files if name.endswith(".so")]
    usable = {name for name in compiled if name.endswith(ending)}
    left_out = set(compiled) - usable
    if not usable:
        # Another one may be installed for this Python, and ours must not hide it.
        left_out |= {name for name in files if name.startswith("msgspec/")}
        if importlib.util.find_spec("msgspec") is None:
            sys.stderr.write(
                f"gapless: this file has no msgspec for {sys.executable} ({ending}): "
                "what reads a configuration fails\n"
                "hint: install msgspec for it, or take the wheel of gapless\n"
            )
    os.mkdir(part, _mode())
    os.chmod(part, _mode())
    made = {part}
    for name, content in files.items():
        if name not in left_out:
            _make_directory(os.path.dirname(f"{part}/{name}"), made)
            _write_file(f"{part}/{name}", content)
    os.sync()


def _make_directory(directory: str, made: set[str]) -> None:
    if directory not in made:
        _make_directory(os.path.dirname(directory), made)
        os.mkdir(directory, 0o755)
        os.chmod(directory, 0o755)  # noqa: S103 - the one above it is closed
        made.add(directory)


def _write_file(path: str, content: bytes) -> None:
    how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, how, 0o644), "wb") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(content)


def _content() -> dict[str, bytes]:
    """Return the files of the program.  Raises ValueError."""
    import hashlib  # noqa: PLC0415 - once for each version
    import zipfile  # noqa: PLC0415 - once for each version
    import zlib  # noqa: PLC0415 - once for each version

    path, inside = os.path.dirname(__file__), "program/"
    changed = f"{path} has changed while it was read, or is damaged"
    try:
        with zipfile.ZipFile(path) as archive:
            found = {
                name.removeprefix(inside): archive.read(name)
                for name in sorted(archive.namelist())
                if name.startswith(inside)
            }
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(changed) from error
    digest = hashlib.sha256()
    for name, content in sorted(found.items()):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    if digest.hexdigest() != DIGEST:
        raise ValueError(changed)
    return found


if __name__ == "__main__":
    sys.exit(main())
