"""What does `publish` cost, compared with `tar -x` and `sync`, for 10,000 files?"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rig.hosts.host import temporary_host
from rig.sigterm import clean_up_at_sigterm

FILES, RUNS = 10_000, 5


def pack(path: Path, count: int = FILES) -> None:
    """Write a tarball of many small files."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for number in range(count):
            member = tarfile.TarInfo(f"app/d{number % 100}/f{number}")
            content = os.urandom(500) + b"x" * 1500
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def main() -> None:
    """Print the table."""
    with temporary_host("gapless-bench-") as host:
        tarball = host.directory / "app.tar.gz"
        pack(tarball)
        host.configure('[release.app]\nbase = "dfs"\nbuild = []\nkeep = 2\n')
        floor, ours = [], []
        for run in range(RUNS):
            plain = host.directory / f"plain{run}"
            plain.mkdir()
            began = time.monotonic()
            subprocess.run(["tar", "-xzf", tarball, "-C", plain], check=True)
            subprocess.run(["sync", "-f", plain], check=True)
            floor.append(time.monotonic() - began)
            began = time.monotonic()
            host.ok("publish", tarball)
            ours.append(time.monotonic() - began)
    ratios = sorted(a / b for a, b in zip(ours, floor, strict=True))
    print(f"{'of 10,000 files':<20}{'median s':>10}")
    print(f"{'tar -x, sync':<20}{sorted(floor)[RUNS // 2]:>10.2f}")
    print(f"{'gapless publish':<20}{sorted(ours)[RUNS // 2]:>10.2f}")
    print(f"ratio, median of {RUNS} pairs: {ratios[RUNS // 2]:.2f} (goal 3)")


if __name__ == "__main__":
    clean_up_at_sigterm()
    main()
