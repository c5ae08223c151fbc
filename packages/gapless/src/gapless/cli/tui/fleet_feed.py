"""The rollout of the fleet of one app, and its hosts, as the coordinator has them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gapless.base.errors import GaplessError
from gapless.base.outside.text import printable
from gapless.cli import configuration, output

if TYPE_CHECKING:
    from gapless.rollout.store import FleetStore

LOOK_S = 2.0
HEADINGS = ("host", "phase", "runs", "last report", "reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSeen:
    """One look at a fleet."""

    app: str
    sentence: str
    rollout: int = 0
    """Its number; 0: there is none, or it could not be read."""
    hosts: dict[str, list[str]] = field(default_factory=dict)


class FleetFeed:
    """Looks at a fleet in a thread of its own, while somebody looks at the screen's."""

    def __init__(self, config: str, deliver: Callable[[FleetSeen], None]) -> None:
        self._config, self._deliver = config, deliver
        self._over, self._wanted = threading.Event(), ""
        self._stores: dict[str, FleetStore | str] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def choose(self, app: str) -> None:
        """Look at the fleet of this app from now on; at none if it is empty."""
        self._wanted = app

    def stop(self) -> None:
        """End the thread; one that waits for a coordinator ends after that."""
        self._over.set()

    def _run(self) -> None:
        before = ""
        while not self._over.wait(LOOK_S if before == self._wanted else 0.1):
            before = self._wanted
            if before:
                self._deliver(self._seen(before))

    def _seen(self, app: str) -> FleetSeen:
        try:
            store = self._stores.get(app) or self._opened(app)
            self._stores[app] = store
            if isinstance(store, str):
                return FleetSeen(app=app, sentence=store)
            return _look(store)
        except (GaplessError, OSError) as error:
            return FleetSeen(app=app, sentence=printable(str(error)))

    def _opened(self, app: str) -> FleetStore | str:
        from gapless.agent.open_store import open_store  # noqa: PLC0415 - loads TLS

        fleet = configuration.fleets(self._config, app).get(app)
        if fleet is None:
            return f"{printable(app)} has no fleet: no [rollout.{printable(app)}]"
        return open_store(fleet, output.print_nothing)


def _look(store: FleetStore) -> FleetSeen:
    from gapless.cli.display import rollouts  # noqa: PLC0415 - few have a fleet

    rollout, _ = store.rollout()
    reports = store.hosts.all()
    hosts = {
        name: [name, each.phase.value, each.release or "-", each.at[:19], each.reason]
        for name, each in sorted(reports.items())
    }
    if rollout is None:
        nothing = "nothing was rolled out yet"
        return FleetSeen(app=store.app, sentence=nothing, hosts=hosts)
    return FleetSeen(
        app=store.app,
        sentence=printable(rollouts.sentence(rollout, reports)),
        rollout=rollout.number,
        hosts=hosts,
    )
