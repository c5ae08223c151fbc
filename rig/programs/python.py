"""What `python3` is for the programs of the tests: an interpreter that starts fast.

That of pyenv is a shell script, and what it finds may have packages that are imported at
each start.  Both cost more than what most programs of the tests do until they serve.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path


def search_path(path: str) -> str:
    """Return *path*, where `python3` is an interpreter, not a script that looks for one."""
    found = shutil.which("python3", path=path)
    if found is None or not Path(found).read_bytes().startswith(b"#!"):
        return path
    return f"{_bare()}:{path}"


def _bare() -> Path:
    """Return the directory of a `python3` that has the standard library only."""
    interpreter = Path(sys.executable).resolve()
    made = Path(sys.prefix) / f"bare-{sys.hexversion:x}"
    if not made.exists():
        with tempfile.TemporaryDirectory(dir=sys.prefix) as directory:
            new = Path(directory) / "bare"
            (new / "bin").mkdir(parents=True)
            (new / "bin" / "python3").symlink_to(interpreter)
            (new / "pyvenv.cfg").write_text(
                f"home = {interpreter.parent}\ninclude-system-site-packages = false\n"
            )
            with contextlib.suppress(OSError):  # another one was faster
                os.rename(new, made)
    return made / "bin"
