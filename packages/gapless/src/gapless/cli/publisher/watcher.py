"""The threads of `gapless watch`: one for the uploads of an app, one for its rollouts."""

from __future__ import annotations

import functools
import threading
import traceback
from collections.abc import Callable

from gapless.agent.publisher import FleetPublisher
from gapless.base.errors import DONE, FAILED, GaplessError
from gapless.cli.fleet import rollout_run
from gapless.cli.publisher import faults
from gapless.cli.publisher.output import WatchOutput
from gapless.cli.publisher.rollout_outcomes import RolloutOutcomes
from gapless.cli.publisher.uploads import UploadPublisher
from gapless.config.toml.fleets import Fleet
from gapless.push.outcome_store import OutcomeStore
from gapless.releases.model import ReleaseSpec

POLL_S = 0.5
"""Remote writes on NFS raise no event here, so the inbox is polled: decision 0011."""
CHECKS_ONCE = 2
"""With --once: an upload without a checksum file must be unchanged in two checks."""


class Watcher:
    """Checks all apps; neither another app nor a long build delays a check."""

    def __init__(
        self,
        specs: dict[str, ReleaseSpec],
        declared: dict[str, Fleet],
        output: WatchOutput,
    ) -> None:
        """Open the fleets in *declared*; an app without a fleet has none there."""
        self._output, self._stop = output, threading.Event()
        self._had_trouble = False
        stores = {
            spec.base: OutcomeStore(spec.base, output.line) for spec in specs.values()
        }
        self._uploads: dict[str, UploadPublisher] = {}
        self._rollouts: dict[str, RolloutOutcomes] = {}
        for name, spec in specs.items():
            outcomes = stores[spec.base]
            open_publisher = None
            if name in declared:
                publisher, store = rollout_run.open_fleet(
                    declared[name], functools.partial(output.fleet_step, name)
                )
                self._rollouts[name] = RolloutOutcomes(
                    publisher, store, outcomes, output
                )
                open_publisher = functools.partial(_open_publisher, declared[name])
            self._uploads[name] = UploadPublisher(
                spec,
                specs,
                outcomes,
                output,
                open_publisher=open_publisher,
                is_stopping=self._stop.is_set,
            )
        self._threads: list[threading.Thread] = []

    def start(self, *, once: bool) -> None:
        """Start the threads."""
        checks = [(name, each.check) for name, each in self._uploads.items()]
        checks += [(name, each.check) for name, each in self._rollouts.items()]
        for name, check in checks:
            thread = threading.Thread(
                target=self._repeat, args=(name, check, once), daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def is_running(self) -> bool:
        """Return whether a thread has not ended."""
        return any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """Let every thread end after its step."""
        self._stop.set()

    def is_stopping(self) -> bool:
        """Return whether the threads are to end."""
        return self._stop.is_set()

    @property
    def exit_code(self) -> int:
        """The exit code of `--once`."""
        codes = [each.exit_code for each in self._uploads.values()]
        codes += [each.exit_code for each in self._rollouts.values()]
        return max([FAILED if self._had_trouble else DONE, *codes])

    def _repeat(self, name: str, check: Callable[[], None], once: bool) -> None:
        """Check an app until the watch is to end; print each new trouble once.

        Nothing ends it but `stop`: a fault of gapless costs this app a while, and others
        nothing.
        """
        checks, trouble, pause_s = 0, "", POLL_S
        while not self._stop.is_set():
            now, details = "", ""
            try:
                check()
                pause_s = POLL_S
            except (GaplessError, OSError) as error:
                now, pause_s = str(error) or type(error).__name__, POLL_S
            except Exception as error:  # noqa: BLE001 - it is printed, and tried again
                now, details = faults.describe(error), traceback.format_exc()
                pause_s = min(max(2 * pause_s, faults.PAUSE_S), faults.MOST_PAUSE_S)
            self._had_trouble |= bool(now)
            if now and now != trouble:
                self._output.trouble(name, now, details)
            trouble = now
            checks += 1
            if once and checks == CHECKS_ONCE:
                return
            self._stop.wait(POLL_S if once else pause_s)


def _open_publisher(
    fleet: Fleet, progress: Callable[[str, str], None]
) -> FleetPublisher:
    return rollout_run.open_fleet(fleet, progress)[0]
