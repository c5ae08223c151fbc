"""The article's scripts and PM2 7 on four hosts, and gapless on the same: what is lost?

The same app (the article's, with a POST that is counted), the same npm install and the same
load, behind nginx; a good release, then a broken one.  cron runs its jobs every few
minutes; here they run at once, one host after the other, so the scripts look faster.
"""

from __future__ import annotations

import collections
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rig.fleets.balancer import run_balancer
from rig.fleets.fleet import Fleet
from rig.fleets.script_host import OFFLINE, publish_by_script
from rig.load import engine
from rig.load.engine import Report
from rig.load.process import run_load
from rig.programs.balancer import nginx_with_defaults, serving_balancer
from rig.sigterm import clean_up_at_sigterm
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
"""How long the load goes on after a release, so that late failures are counted."""


def by_scripts(fleet: Fleet, version: str) -> None:
    """Release with the two jobs of cron."""
    fleet.put(version)
    publish_by_script(fleet.base)
    for host in fleet.script_hosts:
        host.cron()


def by_gapless(fleet: Fleet, version: str) -> None:
    """Upload a release, and wait for the end of its rollout."""
    fleet.upload(version)
    fleet.until(*ENDED, timeout_s=300)


def phase(
    fleet: Fleet, port: int, version: str, release: Callable[[Fleet, str], None]
) -> tuple[Report, list[str]]:
    """Release a version under load; return the load's report, and a row of the table."""
    fleet.ledger.write_text("")
    with run_load(port, *engine.mixed(4, 0.02), seconds=600) as under_load:
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
    script_hosts: int,
) -> dict[str, list[str]]:
    """Return the rows of one way to release, by version."""
    rows = {}
    with tempfile.TemporaryDirectory(prefix="gapless-bench-") as directory:
        fleet = Fleet(
            Path(directory), count=HOSTS, kind="article-post", script_hosts=script_hosts
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
    """Run nginx with its defaults, and with *more* lines."""
    port = free_port()
    addresses = [f"{each.address}:{each.port}" for each in fleet.members]
    configuration = nginx_with_defaults(addresses, port, more)
    return serving_balancer(fleet.directory, "nginx", configuration, port)


def main() -> None:
    """Print the table."""
    table: dict[str, dict[str, list[str]]] = {}
    for name, more in SCRIPTS.items():
        print(name, file=sys.stderr)
        table[name] = measure(partial(plain, more=more), by_scripts, HOSTS)
    name = "gapless, nginx's defaults"
    print(name, file=sys.stderr)
    table[name] = measure(lambda fleet: plain(fleet, ""), by_gapless, 0)
    name = "gapless, nginx by `gapless balancer`"
    print(name, file=sys.stderr)
    table[name] = measure(lambda fleet: run_balancer(fleet, "nginx"), by_gapless, 0)
    for version in ("2", "3 broken"):
        print(f"\nrelease v{version:<44}" + "".join(f"{each:>14}" for each in COLUMNS))
        for name, rows in table.items():
            print(f"{name:<53}" + "".join(f"{each:>14}" for each in rows[version]))


if __name__ == "__main__":
    clean_up_at_sigterm()
    main()
