"""How long does it take from the end of an upload to the rollout that hosts follow?"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.publish import pack
from gapless.agent.open_store import open_store
from gapless.config.toml import fleets
from rig import wait
from rig.hosts.host import GAPLESS, temporary_host
from rig.hosts.usage import processor_s
from rig.sigterm import clean_up_at_sigterm

RUNS, IDLE_S, FILES = 12, 10.0, 100
GOAL_S = 2.0
CONFIG = """
[release.app]
base = "dfs"
build = []
keep = 2
[rollout.app]
[release.other]
base = "dfs"
build = ["cat", "@"]
"""


def pushed(tarball: Path, target: Path) -> float:
    """Upload as `gapless push` does: whole, with its checksum, by a rename."""
    part = target.with_name(f".{target.name}.part")
    shutil.copyfile(tarball, part)
    digest = hashlib.sha256(tarball.read_bytes()).hexdigest()
    Path(f"{target}.sha256").write_text(f"{digest}  {target.name}\n")
    part.rename(target)
    return time.monotonic()


def copied(tarball: Path, target: Path) -> float:
    """Upload in place, without a checksum, as scp does."""
    shutil.copyfile(tarball, target)
    return time.monotonic()


def main() -> None:
    """Print the table."""
    with temporary_host("gapless-bench-") as host:
        gate = host.directory / "gate"
        os.mkfifo(gate)
        tarball = host.directory / "app.tar.gz"
        pack(tarball, FILES)
        path = host.configure(CONFIG.replace("@", str(gate)))
        inbox = host.directory / "dfs" / "src"
        inbox.mkdir(parents=True)
        store = open_store(fleets.load(str(path), {})["app"], print)
        watch = subprocess.Popen(
            [GAPLESS, "watch"],
            cwd=host.directory,
            env=host.environment,
            stdout=subprocess.DEVNULL,
        )

        def number() -> int:
            rollout, _ = store.rollout()
            return rollout.number if rollout else 0

        def is_after(before: int) -> bool:
            return number() > before

        def measured(upload: Callable[[Path, Path], float]) -> list[float]:
            found = []
            for _ in range(RUNS):
                before = number()
                ended = upload(tarball, inbox / "app.tar.gz")
                wait.until(partial(is_after, before), "the record", 60)
                found.append(time.monotonic() - ended)
            return sorted(found)

        try:
            size_mb = tarball.stat().st_size / (1 << 20)
            print(f"{FILES} files, {size_mb:.1f} MB; another app builds meanwhile")
            shutil.copyfile(tarball, inbox / "other.tar.gz")
            wait.until(lambda: not (inbox / "other.tar.gz").exists(), "a long build")
            print(f"{'':<28}{'median s':>10}{'longest s':>11}")
            for name, upload in (("pushed", pushed), ("copied", copied)):
                took = measured(upload)
                print(f"{name:<28}{took[len(took) // 2]:>10.2f}{took[-1]:>11.2f}")
            before = processor_s(watch.pid)
            time.sleep(IDLE_S)
            used = processor_s(watch.pid) - before
            print(f"at rest, two apps: {used * 1000:.0f} ms CPU in {IDLE_S:.0f} s")
            print(f"(unpacking and syncing is in it; goal {GOAL_S:g} s)")
        finally:
            with gate.open("w"):
                pass  # the long build ends
            watch.terminate()
            watch.wait(60)


if __name__ == "__main__":
    clean_up_at_sigterm()
    main()
