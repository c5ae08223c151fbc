"""What the keys of the screen do: the same requests as those of the commands.

They run in threads.  What was begun goes on in the supervisor when the screen is closed; a
rollback is also work of this process, which therefore stays until it has ended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from gapless.base.errors import GaplessError
from gapless.cli import deeds
from gapless.cli.deeds import OnStep
from gapless.client import Client

OnEnd = Callable[[str, str], None]
"""Takes the outcome, and the reason if it is not done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What somebody asked for."""

    action: str
    """reload, start, stop, scale, rollback, hold or resume."""
    app: str
    instances: int = 0
    """How many: of scale."""
    rollout: int = 0
    """The number of the rollout that is meant; 0: whichever there is."""
    release: str = ""
    """The release that serves, as it was seen; empty: whichever does."""

    def question(self) -> str:
        """Return what is asked before it is done."""
        of_fleet = f"rollout {self.rollout}" if self.rollout else "the rollout"
        what = f"the fleet of {self.app}" if self.rollout else self.app
        left = f"that of {of_fleet}" if self.rollout else self.release
        return {
            "reload": f"Reload {self.app}, with its file read again?",
            "start": f"Start {self.app}?",
            "stop": f"Stop {self.app}? It finishes what it began.",
            "scale": f"How many instances of {self.app}?",
            "rollback": f"Roll {what} back to the release before {left}".rstrip() + "?",
            "hold": f"Hold {of_fleet} of {self.app}? No further host switches.",
            "resume": f"Resume {of_fleet} of {self.app}? Hosts that failed try again.",
        }[self.action]


def begin(
    deed: Deed, client: Client, config: str, on_step: OnStep, on_end: OnEnd
) -> threading.Thread:
    """Do it in a thread; *on_end* is called when it has ended.

    Raises RuntimeError if there can be no thread; nothing was done.
    """

    def run() -> None:
        try:
            report = deeds.perform(client, config, deed, on_step)
        except GaplessError as error:
            hint = f"; {error.hint}" if error.hint else ""
            on_end("failed", f"{error.message}{hint}")
        except OSError as error:
            on_end("failed", f"{deed.action}: {error.strerror or error}")
        else:
            on_end(str(report["outcome"]), str(report.get("reason") or ""))

    # The interpreter waits for a thread that is no daemon: a rollback is done whole.
    thread = threading.Thread(target=run, daemon=deed.action != "rollback")
    thread.start()
    return thread
