"""`gapless.pyz`: one file that any Python from 3.11 on runs."""

from __future__ import annotations

import hashlib
from pathlib import Path

from distribution import program
from distribution.archives import File, Tree, zipped

MAIN = Path(__file__).parent / "one_file_main.py"
"""What Python runs of it; it unpacks the rest."""
INTERPRETER = b"#!/usr/bin/env python3\n"
_UNSET = 'NAME, DIGEST = "", ""'


def make(files: dict[str, File], at: int) -> bytes:
    """Return the file, which holds a program (`program.tree`)."""
    found = digest(files)
    name = f"gapless-{program.version(files)}-{found[:12]}"
    main = MAIN.read_text()
    assert _UNSET in main
    main = main.replace(_UNSET, f'NAME, DIGEST = "{name}", "{found}"')
    inside = {f"program/{path}": file for path, file in files.items()}
    inside["__main__.py"] = File(content=main.encode())
    return INTERPRETER + zipped(inside, at)


def digest(files: Tree) -> str:
    """Return what stands for a tree: SHA-256 of names and contents, in hex."""
    found = hashlib.sha256()
    for name, file in sorted(files.items()):
        found.update(f"{name}\0{len(file.content)}\0".encode())
        found.update(file.content)
    return found.hexdigest()
