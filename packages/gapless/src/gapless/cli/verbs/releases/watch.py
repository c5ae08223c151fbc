"""Publish what is uploaded to the inboxes of all apps of a configuration.

Runs in the foreground, for systemd or as an app under gapless; --once is for cron.
SIGTERM lets it end after the step in hand.
"""

from __future__ import annotations

import argparse
import functools
import select
import signal
import threading
import traceback
from collections.abc import Callable

from gapless.agent.publisher import FleetPublisher
from gapless.base import wakeup
from gapless.base.errors import DONE, FAILED, GaplessError
from gapless.cli import configuration, fleets
from gapless.cli.publisher.output import Telling
from gapless.cli.publisher.rollouts import Settling
from gapless.cli.publisher.uploads import Uploads
from gapless.config.toml.fleets import Fleet
from gapless.push.outcome_store import OutcomeStore
from gapless.releases.model import ReleaseSpec

POLL_S = 0.5
"""Remote writes on NFS raise no event here, so the inbox is looked at: decision 0011."""
Look = Callable[[], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `watch` understands."""
    parser.add_argument(
        "--once", action="store_true", help="publish what is complete now, then end"
    )
    configuration.add(parser)


def run(asked: argparse.Namespace) -> int:
    """Watch the inboxes."""
    specs = configuration.load(asked.config)
    declared = configuration.fleets(asked.config)
    telling = Telling(as_json=asked.json)
    watcher = Watcher(specs, declared, telling)
    woken = wakeup.on((signal.SIGTERM, signal.SIGINT))
    if not asked.json:
        inboxes = ", ".join(sorted({spec.inbox for spec in specs.values()}))
        telling.line(f"watching {inboxes} for {', '.join(specs)}")
    watcher.start(once=asked.once)
    while watcher.is_running():
        if select.select([woken], [], [], POLL_S)[0]:
            woken.recv(64)
            if watcher.is_stopping():
                return FAILED  # told twice: whoever starts next takes up what is left
            telling.line("ending after the step in hand; a second signal ends at once")
            watcher.stop()
    return watcher.code if asked.once or watcher.has_crashed else DONE


class Watcher:
    """Two threads an app: neither another app nor a long build holds a look up."""

    def __init__(
        self,
        specs: dict[str, ReleaseSpec],
        declared: dict[str, Fleet],
        telling: Telling,
    ) -> None:
        self._telling, self._stop = telling, threading.Event()
        self.has_crashed = self._was_in_trouble = False
        accounts = {
            spec.inbox: OutcomeStore(spec.inbox, telling.line)
            for spec in specs.values()
        }
        self._uploads: dict[str, Uploads] = {}
        self._settlings: dict[str, Settling] = {}
        for name, spec in specs.items():
            account = accounts[spec.inbox]
            opened = None
            if name in declared:
                publisher, store = fleets.opened(
                    declared[name], functools.partial(telling.step, name)
                )
                self._settlings[name] = Settling(publisher, store, account, telling)
                opened = functools.partial(_publisher, declared[name])
            self._uploads[name] = Uploads(
                spec,
                specs,
                account,
                telling,
                open_fleet=opened,
                is_stopping=self._stop.is_set,
            )
        self._threads: list[threading.Thread] = []

    def start(self, *, once: bool) -> None:
        """Begin to look."""
        looks = [(name, each.look) for name, each in self._uploads.items()]
        looks += [(name, each.look) for name, each in self._settlings.items()]
        for name, look in looks:
            thread = threading.Thread(
                target=self._look_on, args=(name, look, once), daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def is_running(self) -> bool:
        """Tell whether anybody looks still."""
        return any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """Let every thread end after its step."""
        self._stop.set()

    def is_stopping(self) -> bool:
        """Tell whether it was told to end."""
        return self._stop.is_set()

    @property
    def code(self) -> int:
        """The exit code of `--once`."""
        codes = [each.code for each in self._uploads.values()]
        codes += [each.code for each in self._settlings.values()]
        bad = self.has_crashed or self._was_in_trouble
        return max([FAILED if bad else DONE, *codes])

    def _look_on(self, name: str, look: Look, once: bool) -> None:
        """Look until it is told to end; twice is enough for a size that is stable."""
        looks, trouble = 0, ""
        try:
            while not self._stop.is_set():
                try:
                    look()
                    said = ""
                except (GaplessError, OSError) as error:
                    said, self._was_in_trouble = str(error), True
                if said and said != trouble:
                    self._telling.trouble(name, said)
                trouble = said
                looks += 1
                if once and looks == 2:
                    return
                self._stop.wait(POLL_S)
        except BaseException:  # noqa: BLE001 - said, and it ends the command
            # A thread that died in silence would leave one app unwatched.
            self._telling.line(traceback.format_exc())
            self.has_crashed = True
            self._stop.set()


def _publisher(found: Fleet, tell: Callable[[str, str], None]) -> FleetPublisher:
    return fleets.opened(found, tell)[0]
