"""A real remote file system: each mount has caches of its own, as NFS mounts have.

sshfs (FUSE) over a pipe to OpenSSH's sftp-server, since not every kernel has a client for
NFS.  Listings and attributes may be CACHE_S old at a mount; link(2) goes through OpenSSH's
hardlink extension.  Nothing listens on a port.  Needs /dev/fuse and root.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from pathlib import Path

from rig import wait

CACHE_S = 2
SERVER = "/usr/lib/openssh/sftp-server"


class RemoteDirectory:
    """One directory, and as many mounts of it as there are hosts."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.real = directory / "real"
        self.real.mkdir(parents=True)
        self._mounts: list[tuple[Path, subprocess.Popen[bytes]]] = []
        self._mounting = threading.Lock()
        self._server = directory / "server"
        self._server.write_text(f"#!/bin/sh\nexec {SERVER}\n")
        self._server.chmod(0o755)

    def mount_of(self, number: int) -> Path:
        """Return where a host has mounted the directory; mount it first if need be."""
        with self._mounting:
            while len(self._mounts) <= number:
                self._mount()
        return self._mounts[number][0]

    def _mount(self) -> None:
        path = self._directory / f"mount{len(self._mounts)}"
        path.mkdir()
        options = f"ssh_command={self._server},dcache_timeout={CACHE_S}"
        argv = ["sshfs", "-f", "-o", options, f"here:{self.real}", str(path)]
        process = subprocess.Popen(argv)
        self._mounts.append((path, process))
        wait.until(
            lambda: path.is_mount() or process.poll() is not None,
            f"sshfs on {path}",
            30,
        )
        assert process.poll() is None, f"sshfs ended with code {process.returncode}"

    def close(self) -> None:
        """Unmount everything, by an end of each sshfs.

        After umount alone sshfs goes on as long as another mount namespace has a copy of
        the mount; `ip netns exec` makes such a namespace.
        """
        for _, process in self._mounts:
            process.terminate()
        with contextlib.ExitStack() as stack:
            for _, process in self._mounts:
                stack.callback(_wait, process)


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
