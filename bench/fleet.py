"""The article's scripts and PM2 7 on four hosts, and gapless on the same: what is lost?

The same app (the article's, with a POST that is counted), the same npm install, the same
load, behind nginx; a good release, then a broken one.  What cron does every few minutes is
done here at once, one host after the other, so the times flatter the scripts.
"""

from __future__ import annotations

import collections
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rig.hosts.balanced import plain_nginx, serving
from rig.hosts.fleet import Fleet, balanced
from rig.load import engine
from rig.load.engine import Report
from rig.load.running import running
from rig.programs.scripted import OFFLINE, publish_by_script
from rig.wait import free_port

HOSTS = 4
SCRIPTS = {
    "scripts + PM2, nginx's defaults": "",
    "scripts + PM2, proxy_next_upstream http_503": "proxy_next_upstream http_503;",
    "scripts + PM2, error timeout http_503 non_idempotent": (
        "proxy_next_upstream error timeout http_503 non_idempotent;"
    ),
}
COLUMNS = ("lost", "of", "POSTs twice", "done after", "serve then")
ENDED = ("done", "reverted", "held", "stuck")
AFTER_S = 3.0
"""How long the load goes on after a release: what breaks late is counted as well."""


def by_scripts(fleet: Fleet, version: str) -> None:
    """Release as the two jobs of cron do."""
    fleet.put(version)
    publish_by_script(fleet.base)
    for host in fleet.scripted:
        host.cron()


def by_gapless(fleet: Fleet, version: str) -> None:
    """Upload, and wait."""
    fleet.upload(version)
    fleet.until(*ENDED, timeout_s=300)


def phase(
    fleet: Fleet, port: int, version: str, release: Callable[[Fleet, str], None]
) -> tuple[Report, list[str]]:
    """Release a version under load; return what clients met, and a row."""
    fleet.ledger.write_text("")
    with running(port, *engine.mixed(4, 0.02), seconds=600) as under_load:
        under_load.wait_for(100)
        began = time.monotonic()
        release(fleet, version)
        took_s = time.monotonic() - began
        time.sleep(AFTER_S)
        report = under_load.stop()
    runs = fleet.runs().values()
    counts = collections.Counter(fleet.ledger.read_text().split())
    twice = sum(times > 1 for times in counts.values())
    shown = ", ".join(f"v{each}" for each in sorted({*runs} - {""}))
    after = f"{sum(map(bool, runs))} of {HOSTS} {shown}"
    row = [report.lost, report.requests, twice, f"{took_s:.1f} s", after]
    return report, [str(each) for each in row]


def measure(
    front: Callable[[Fleet], AbstractContextManager[int]],
    release: Callable[[Fleet, str], None],
    scripted: int,
) -> dict[str, list[str]]:
    """Return the rows of one way to release."""
    rows = {}
    with tempfile.TemporaryDirectory(prefix="gapless-bench-") as directory:
        fleet = Fleet(
            Path(directory), count=HOSTS, kind="article-post", scripted=scripted
        )
        fleet.program.build = "npm install"
        fleet.publisher.environment |= OFFLINE
        try:
            fleet.start()
            with front(fleet) as port:
                for version in ("2", "3 broken"):
                    report, rows[version] = phase(fleet, port, version, release)
                    print(f"  v{version}: {report.fates}", file=sys.stderr)
        finally:
            fleet.close()
    return rows


def plain(fleet: Fleet, more: str) -> AbstractContextManager[int]:
    """Run nginx with its defaults, or with one more line."""
    port = free_port()
    addresses = [f"{each.address}:{each.port}" for each in fleet.members]
    return serving(fleet.directory, "nginx", plain_nginx(addresses, port, more), port)


def main() -> None:
    """Print the table."""
    table: dict[str, dict[str, list[str]]] = {}
    for name, more in SCRIPTS.items():
        print(name, file=sys.stderr)
        table[name] = measure(
            lambda fleet, more=more: plain(fleet, more), by_scripts, HOSTS
        )
    name = "gapless, nginx's defaults"
    print(name, file=sys.stderr)
    table[name] = measure(lambda fleet: plain(fleet, ""), by_gapless, 0)
    name = "gapless, nginx by `gapless balancer`"
    print(name, file=sys.stderr)
    table[name] = measure(lambda fleet: balanced(fleet, "nginx"), by_gapless, 0)
    for version in ("2", "3 broken"):
        print(f"\nrelease v{version:<44}" + "".join(f"{each:>14}" for each in COLUMNS))
        for name, rows in table.items():
            print(f"{name:<53}" + "".join(f"{each:>14}" for each in rows[version]))


if __name__ == "__main__":
    main()
