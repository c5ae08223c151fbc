"""Follow the rollouts of a fleet on this host.

Runs in the foreground, for systemd or as an app under gapless.  --once does what is this
host's to do now and ends, for cron.  A coordinator that cannot be asked changes nothing:
every app serves on.

With --health (or `health_listen` in the file) it answers balancers for each app, on /APP:
200 while it serves, 404 while it leaves (nothing new, please), 503 when it does not run.
"""

from __future__ import annotations

import argparse
import select
import threading
from signal import SIGINT, SIGTERM

from gapless.agent import address, membership
from gapless.agent.app_listing import AppListing
from gapless.agent.follower import Follower
from gapless.agent.health_endpoint import HealthEndpoint
from gapless.agent.open_store import open_store
from gapless.base import wakeup
from gapless.base.errors import (
    DONE,
    FAILED,
    GaplessError,
    NotFoundError,
    UnavailableError,
)
from gapless.cli import configuration, fleets
from gapless.client import Client
from gapless.config.toml.fleets import Fleet
from gapless.rollout.model import Phase

RETRY_S = 2.0
ALIVE_S = 5.0
"""How often is looked whether every app is followed still."""
LAST_STEP_S = 60.0
"""How long a host's turn may go on after SIGTERM: a handoff is not left half-done."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `agent` understands."""
    parser.add_argument(
        "--once", action="store_true", help="one turn, then end: for cron"
    )
    parser.add_argument(
        "--host",
        default="",
        metavar="NAME",
        help="what this host is called; its own name",
    )
    parser.add_argument(
        "--address",
        default="",
        metavar="HOST[:PORT]",
        help="where balancers reach this host; found out",
    )
    parser.add_argument(
        "--health",
        default="",
        metavar="[HOST]:PORT",
        help="answer balancers here: 200, 404 while it leaves, 503",
    )
    parser.add_argument(
        "-c", "--config", default="", metavar="FILE", help="default: ./gapless.toml"
    )


def run(asked: argparse.Namespace) -> int:
    """Follow every fleet of the configuration."""
    fleets = configuration.fleets(asked.config)
    if not fleets:
        raise NotFoundError(
            f"{asked.config or 'gapless.toml'} has no [rollout.NAME]",
            hint="it says how a fleet changes: slots = 1",
        )
    host = membership.host_name(asked.host)
    listens = {
        # Who comes and goes answers nobody.
        app: "" if asked.once else asked.health or each.health_listen
        for app, each in fleets.items()
    }
    followers = [
        _Following(
            each,
            host,
            address.host_addresses(each, asked.address, listens[each.release.app]),
        )
        for each in fleets.values()
    ]
    client = Client()
    try:
        membership.remember(client.home, fleets, host)
    except OSError as error:  # `drain` cannot ask the others then; releases go on
        _say(f"could not write {client.home.fleets}: {error}")
    if asked.once:
        return max(following.once() for following in followers)
    numbers = wakeup.on((SIGTERM, SIGINT))
    listing = AppListing(lambda: client.request("list") if client.has_state() else None)
    answers = [
        HealthEndpoint(each, [app for app in fleets if listens[app] == each], listing)
        for each in sorted({*listens.values()} - {""})
    ]
    _say(f"{host} follows {', '.join(fleets)}")
    for following in followers:
        following.thread.start()
    while not select.select([numbers], [], [], ALIVE_S)[0]:
        # A thread that died in silence would leave one app without its agent.
        if not all(following.thread.is_alive() for following in followers):
            return FAILED
    # Balancers are answered to the end: a turn that is finished may be a recycle.
    for following in followers:
        following.follower.stopping.set()
    for following in followers:
        if following.at_work:
            following.thread.join(LAST_STEP_S)
    for each in answers:
        each.close()
    return DONE


class _Following:
    """One app, in a thread of its own."""

    def __init__(
        self, config: Fleet, host: str, addresses: address.HostAddresses
    ) -> None:
        self._store = open_store(config, fleets.complain)
        client = Client()
        self.follower = Follower(
            config, self._store, client, host, _say, addresses=addresses
        )
        self.thread = threading.Thread(target=self._follow, daemon=True)
        self.at_work = False
        self._trouble = ""

    def once(self) -> int:
        """Look until there is nothing to do at once; return the exit code."""
        while not self.follower.step():
            pass
        report = self.follower.report
        _say(fleets.host_line(report))
        return FAILED if report.phase is Phase.FAILED else DONE

    def _follow(self) -> None:
        while not self.follower.stopping.is_set():
            wait_s = self._look()
            if wait_s and not self._store.wait(wait_s):
                self.follower.stopping.wait(RETRY_S)

    def _look(self) -> float:
        """Look once; what cannot be asked is said once, and asked again."""
        self.at_work = True
        try:
            wait_s = self.follower.step()
        except (GaplessError, OSError) as error:
            if self.follower.stopping.is_set():
                return RETRY_S
            if str(error) != self._trouble:
                serves = isinstance(error, UnavailableError)
                _say(
                    f"{self._store.app}: {error}" + ("; it serves on" if serves else "")
                )
            self._trouble = str(error)
            self.follower.stopping.wait(RETRY_S)
            return 0.0
        finally:
            self.at_work = False
        if self._trouble:
            _say(f"{self._store.app}: goes on")
            self._trouble = ""
        return wait_s


def _say(text: str) -> None:
    print(text, flush=True)
