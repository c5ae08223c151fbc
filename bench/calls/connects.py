"""What does `checks_port = true` cost each connection that a program opens?"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from rig.hosts.host import Host, temporary_host
from rig.sigterm import clean_up_at_sigterm
from rig.wait import free_port, until

CONNECTS = 3000
PROGRAM = f"""
import os, socket, time


def measure(server):
    found = []
    for _ in range({CONNECTS}):
        with socket.socket() as sock:
            began = time.perf_counter()
            sock.connect(server.getsockname())
            found.append((time.perf_counter() - began) * 1e6)
            server.accept()[0].close()
    found.sort()
    return found[{CONNECTS} // 10], found[{CONNECTS} // 2]


other = socket.create_server(("127.0.0.1", 0))
own = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
with open("found.new", "w") as file:
    print(*measure(other), *measure(own), file=file)
os.rename("found.new", os.environ["FOUND"])
while True:
    time.sleep(60)
"""


def measured(host: Host, directory: Path, more: str) -> list[float]:
    """Return the microseconds of connects: to another port, and to the app's own."""
    (directory / "app.py").write_text(PROGRAM)
    name = more[:6] or "without"
    found = directory / name
    host.configure(
        f'[app.{name}]\ncommand = ["python3", "app.py"]\ndirectory = "{directory}"\n'
        f'environment = {{ PORT = {free_port()}, FOUND = "{found}" }}\n{more}\n'
    )
    host.ok("start", "gapless.toml")
    until(found.exists, "the measurement", 120)
    host.ok("stop", name)
    return [float(word) for word in found.read_text().split()]


def main() -> None:
    """Print the table."""
    heads = ("any port, 10th %", "median", "its own, 10th %", "median")
    print(f"{'us a connect':<20}" + "".join(f"{each:>18}" for each in heads))
    with (
        temporary_host("gapless-bench-") as host,
        tempfile.TemporaryDirectory(prefix="gapless-bench-") as directory,
    ):
        for more in ("", "checks_port = true"):
            took = measured(host, Path(directory), more)
            shown = "".join(f"{each:>18.0f}" for each in took)
            print(f"{more or 'without the key':<20}{shown}")


if __name__ == "__main__":
    clean_up_at_sigterm()
    main()
