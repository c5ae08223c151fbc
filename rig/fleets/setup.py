"""The setup of a host before its first command: namespace, clocks, disk, directories.

What needs root and a network namespace fails with `REAL_ROOT` where there is none.
"""

from __future__ import annotations

from pathlib import Path

from rig.hosts.host import Host
from rig.hosts.small_disk import SmallDisk

FAKETIME = "faketime/libfaketimeMT.so.1"
REAL_ROOT = "only root may do this, and only to a host with a namespace of its own"


class Setup:
    """Builds what every command of a host begins with."""

    def __init__(self, host: Host, namespace: tuple[str, ...]) -> None:
        """*namespace* is the prefix that enters the host's network namespace, if any."""
        self._host, self._namespace = host, namespace
        self.disk: SmallDisk | None = None
        self._clocks: tuple[str, ...] = ()
        self._script: list[str] = []
        """Lines of shell that every command of the host begins with."""
        self._apply()

    def _apply(self) -> None:
        prefix = (*self._namespace, *self._clocks)
        if self._script:
            script = "\n".join(["set -e", *self._script, 'exec "$@"'])
            prefix += ("sh", "-c", script, "sh")
        self._host.command_prefix = prefix

    def set_clock(self, offset_s: float) -> None:
        """Let the host's wall clock be off; CLOCK_MONOTONIC and BOOTTIME stay true.

        Its apps see the wrong time too.  Times of files stay those of the file system, as
        on a shared one.
        """
        assert self._namespace, REAL_ROOT
        library = next(Path("/usr/lib").glob(f"*/{FAKETIME}"), None)
        assert library is not None, "the Debian package faketime is missing"
        self._script += [
            # faketime leaves a segment there for each process that is killed.
            "mount -t tmpfs none /dev/shm",
            "export NO_FAKE_STAT=1 FAKETIME_DONT_FAKE_MONOTONIC=1",
            f"export FAKETIME={offset_s:+g} LD_PRELOAD={library}",
        ]
        self._apply()

    def set_boot_clock(self, offset_s: int) -> None:
        """Let CLOCK_MONOTONIC and BOOTTIME be off; the wall clock is true."""
        assert self._namespace, REAL_ROOT
        offset = str(offset_s)
        self._clocks = (
            "unshare",
            "--time",
            "--boottime",
            offset,
            "--monotonic",
            offset,
        )
        self._apply()

    def small_disk(self, size_mb: int) -> SmallDisk:
        """Put GAPLESS_HOME, and copies of releases in it, on a small disk of its own."""
        self.disk = SmallDisk(self._host.home, size_mb)
        return self.disk

    def own_directory(self, shared: Path) -> None:
        """Let a directory, such as /var/www, be another one on this host."""
        own = self._host.directory / shared.name
        own.mkdir(exist_ok=True)
        if self._namespace:
            self._script.append(f"mount --bind '{own}' '{shared}'")
            self._apply()
