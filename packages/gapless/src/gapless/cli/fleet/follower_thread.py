"""One app that this host follows, in a thread of its own."""

from __future__ import annotations

import threading

from gapless.agent.address import HostAddresses
from gapless.agent.follower import Follower
from gapless.agent.open_store import open_store
from gapless.base.errors import DONE, FAILED, GaplessError, UnavailableError
from gapless.base.outside.text import printable
from gapless.cli import output
from gapless.cli.display import rollouts
from gapless.client import Client
from gapless.config.toml.fleets import Fleet
from gapless.rollout.model import Phase

RETRY_S = 2.0


class FollowerThread:
    """Calls the follower of one app again and again; prints what goes wrong."""

    def __init__(self, fleet: Fleet, host: str, addresses: HostAddresses) -> None:
        self._store = open_store(fleet, output.print_error)
        self.follower = Follower(
            fleet, self._store, Client(), host, output.print_line, addresses=addresses
        )
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.is_acting = False
        """A turn may be under way: the coordinator is not just being waited for."""
        self._trouble = ""
        """The last error, until a call succeeds."""

    def run_once(self) -> int:
        """Act until there is nothing to do at once; return the exit code."""
        while not self.follower.step():
            pass
        report = self.follower.report
        output.print_line(rollouts.host_line(report))
        return FAILED if report.phase is Phase.FAILED else DONE

    def _run(self) -> None:
        while not self.follower.stopping.is_set():
            wait_s = self._act()
            if wait_s and not self._store.wait(wait_s):
                self.follower.stopping.wait(RETRY_S)

    def _act(self) -> float:
        """Act once, and return how long to wait; the same error is printed once."""
        self.is_acting = True
        try:
            wait_s = self.follower.step()
        except (GaplessError, OSError) as error:
            if self.follower.stopping.is_set():
                return RETRY_S
            if str(error) != self._trouble:
                serves = "; it serves on" if isinstance(error, UnavailableError) else ""
                output.print_line(f"{self._store.app}: {error}{serves}")
            self._trouble = str(error)
            self.follower.stopping.wait(RETRY_S)
            return 0.0
        except Exception as error:  # noqa: BLE001 - a fault with one app must not end the agent of all
            what = (
                f"a fault of gapless: {type(error).__name__}: {printable(str(error))}"
            )
            if what != self._trouble:
                output.print_line(f"{self._store.app}: {what}; it serves on")
            self._trouble = what
            self.follower.stopping.wait(RETRY_S)
            return 0.0
        finally:
            self.is_acting = False
        if self._trouble:
            output.print_line(f"{self._store.app}: goes on")
            self._trouble = ""
        return wait_s
