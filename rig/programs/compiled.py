"""Programs that are compiled for the tests: once for each version of a source."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

from rig.hosts.host import ROOT, SERVERS

COMPILED = ROOT / "build" / "compiled"
COMPILE_S = 300
GO_ENVIRONMENT = {
    "CGO_ENABLED": "0",
    "GOCACHE": str(COMPILED / "go-cache"),
    "GOPROXY": "off",
    "GOTELEMETRY": "off",
    "GOTOOLCHAIN": "local",
}


def go(source: Path) -> Path:
    """Return the program of a Go file that imports the standard library only.

    The first call takes half a minute: it compiles the standard library.
    """
    compiler = [str(SERVERS / "go"), "build", "-o", "program", str(source)]
    return _compiled(source, compiler, GO_ENVIRONMENT) / "program"


def java(source: Path) -> Path:
    """Return the directory with the classes of a Java file."""
    return _compiled(source, ["javac", "-d", ".", str(source)], {})


def _compiled(source: Path, argv: list[str], environment: dict[str, str]) -> Path:
    """Return a directory in which *argv* was run since *source* changed."""
    digest = hashlib.sha256(source.read_bytes() + argv[0].encode()).hexdigest()
    directory = COMPILED / f"{source.stem}-{digest[:12]}"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "complete").exists():
            subprocess.run(
                argv,
                cwd=directory,
                env=os.environ | environment,
                check=True,
                timeout=COMPILE_S,
            )
            (directory / "complete").touch()
    return directory
