"""What a supervisor tells systemd, and other programs that start it as systemd does.

sd_notify(3): READY=1 once everything was taken over, a line about the apps when that
changes, STOPPING=1 at the end, and WATCHDOG=1 while systemd asks for it.  Each turn of the
loop may send it: a supervisor that hangs sends none, and is ended and started anew.
EXTEND_TIMEOUT_USEC= while apps are at work: `systemctl stop` and `systemctl reload` wait as
long as the apps may take, while the time-outs of the unit end a supervisor that hangs.

Rule 1: the variables stay in the environment of this process, for a program that takes its
place (execve(2)).  Apps are given an environment of their own, and a socket of their own.
Rule 2: nothing waits for systemd: what it does not take is sent in a later turn.
"""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Mapping

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
AGAIN_S = 1.0
STATUS_S = 1.0
"""A line about the apps is sent so often at most."""
LONGER_S, LONGER_EVERY_S = 45.0, 15.0
"""How much time is asked for, from then on, and how often: one message may be lost."""


class Unit:
    """The unit that this process is the main process of, if there is one."""

    def __init__(self, address: str, watchdog_s: float) -> None:
        """Use "" for no address, and 0 for no watchdog."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._every_s = watchdog_s / 2 if address else 0.0
        self._alive_at: float | None = None
        """When to say next that the loop turns."""
        self._words: dict[str, str] = {}
        """By the name of the app: how it is."""
        self._counts: Counter[str] = Counter()
        self._told: str | None = None
        self._tell_at: float | None = None
        self._at_work = set[str]()
        """The apps for which somebody may wait."""
        self._longer_at: float | None = None
        """When to ask for more time next; None: it was not asked for yet."""

    @property
    def listens(self) -> bool:
        """Whether somebody wants to be told anything."""
        return bool(self._address)

    def ready(self, now: float) -> None:
        """Say that all that runs was taken over, and that requests are answered."""
        if not self.listens:
            return
        self._told = self._line()
        self._send(f"READY=1\nSTATUS={self._told}")
        if self._every_s:
            self._alive_at = now

    def waits(self, why: str) -> None:
        """Say why this process is not ready yet."""
        if self.listens:
            self._send(f"STATUS={why}")

    def stopping(self) -> None:
        """Say that this process ends; the apps may serve on."""
        if self.listens:
            self._send("STOPPING=1\nSTATUS=")

    # --- the apps -----------------------------------------------------------------------

    def app_is(self, name: str, word: str | None, *, at_work: bool = False) -> None:
        """Note how an app is; None: it is gone.

        One *at_work* is being changed or ended: systemd may wait for that.
        """
        (self._at_work.add if at_work else self._at_work.discard)(name)
        before = self._words.pop(name, None)
        if before is not None:
            self._counts[before] -= 1
        if word is not None:
            self._words[name] = word
            self._counts[word] += 1

    def _line(self) -> str:
        total = len(self._words)
        if not total:
            return "no apps"
        found = sorted((word, count) for word, count in self._counts.items() if count)
        shown = ", ".join(f"{count} {word}" for word, count in found)
        return f"{total} {'app' if total == 1 else 'apps'}: {shown}"

    # --- time ---------------------------------------------------------------------------

    def keep_up(self, now: float) -> None:
        """Send what is due: called in each turn of the loop."""
        if not self.listens:
            return
        if self._alive_at is not None and self._alive_at <= now:
            taken = self._send("WATCHDOG=1")
            self._alive_at = now + (self._every_s if taken else AGAIN_S)
        is_ready = self._told is not None
        if self._tell_at is None and is_ready and self._line() != self._told:
            self._tell_at = now + STATUS_S
        if self._tell_at is not None and self._tell_at <= now:
            line = self._line()
            taken = self._send(f"STATUS={line}")
            self._told = line if taken else self._told
            self._tell_at = None if taken else now + AGAIN_S
        if not self._at_work:
            self._longer_at = None
        elif self._longer_at is None or self._longer_at <= now:
            taken = self._send(f"EXTEND_TIMEOUT_USEC={int(LONGER_S * 1e6)}")
            self._longer_at = now + (LONGER_EVERY_S if taken else AGAIN_S)

    def wait_until(self) -> float | None:
        """Return when `keep_up` has something to do; None: never."""
        times = (self._alive_at, self._tell_at, self._longer_at)
        known = [at for at in times if at is not None]
        return min(known) if known else None

    def _send(self, text: str) -> bool:
        """Send a datagram; return whether it was taken."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(text.encode(), self._address)
        except OSError:
            return False
        return True


def of_environment(environment: Mapping[str, str], pid: int) -> Unit:
    """Return the unit that the variables name."""
    address, interval, main = (environment.get(each, "") for each in _VARIABLES)
    if not address.startswith(("/", "@")):
        address = ""
    is_number = bool(re.fullmatch("[0-9]{1,15}", interval))
    is_ours = is_number and main in ("", str(pid))
    return Unit(address, int(interval) / 1e6 if is_ours else 0.0)
