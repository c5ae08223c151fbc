"""Where a rehearsal takes place: a directory, a supervisor and copies that go at its end.

Rule: what the rehearsal has started is a descendant of this process (prctl(2),
PR_SET_CHILD_SUBREAPER), so that at the end all of it is found, whatever it has become.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import tempfile
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from gapless.base import codec, files
from gapless.base.errors import GaplessError
from gapless.client import Client, OnEvent
from gapless.rehearsal.stage import confinement
from gapless.rehearsal.stage.confinement import Missing
from gapless.releases import paths
from gapless.releases.reaper import descendants
from gapless.supervisor.instances.notify_places import NotifyPlaces
from gapless.supervisor.memory.spec import AppSpec
from gapless.supervisor.observe import instance_groups

SHUTDOWN_S = 8.0
"""Then what is left is killed."""
_PR_SET_CHILD_SUBREAPER = 36
_PASSABLE = 0o711
"""Nobody lists the names."""
_ENDS = (signal.SIGTERM, signal.SIGHUP)


class Stage:
    """A private directory with a private GAPLESS_HOME.

    Its name is random, and so is that of the directory around it, which only its owner
    enters until others are let in.
    """

    def __init__(self, around: str) -> None:
        self._around = around
        self.directory = tempfile.mkdtemp(prefix="", dir=around)
        os.chmod(self.directory, _PASSABLE)
        self._temporary = self.place("tmp")
        os.mkdir(self._temporary, files.PRIVATE_DIRECTORY)
        os.chmod(self._temporary, 0o1777)  # noqa: S103 - as /tmp: for the user of the app
        self.client: Client | None = None
        """The supervisor that runs now."""
        self._homes = 0
        self._has_groups = False
        self._elsewhere: list[str] = []

    def place(self, *names: str) -> str:
        """Return a path below the directory."""
        return os.path.join(self.directory, *names)

    def let_in(self, users: Iterable[str]) -> None:
        """Let the users of an app enter, who know the name; only root runs such apps."""
        if os.geteuid() == 0 and any(users):
            os.chmod(self._around, _PASSABLE)

    def begin(
        self,
        *,
        writable: Collection[str],
        ports: Collection[int] | None,
        has_limits: bool,
    ) -> Missing:
        """Start a supervisor, which may write and bind what is named.

        *has_limits*: the app has limits that need control groups; else none are made, and
        so none are left.  Returns what the kernel could not take from it.  Raises
        GaplessError.
        """
        self._has_groups = has_limits
        if not has_limits:
            os.environ[instance_groups.VARIABLE] = "off"
        self._homes += 1
        self._clean_environment(self._temporary)
        client = Client(self.place(f"home-{self._homes}"))
        client.make_home()
        # Of root's apps it lies elsewhere, and is not to be made by who is confined.
        notified = NotifyPlaces(client.home).base()
        self._elsewhere.append(notified)
        missing = confinement.run_confined(
            client.start, writable=[self.directory, notified, *writable], ports=ports
        )
        # From now on a request starts none: it would be one that is not confined.
        os.environ["GAPLESS_STARTS"] = "no"
        self.client = client
        return missing

    def environment(self) -> dict[str, str]:
        """Return the variables that an app of the rehearsal gets in any case."""
        assert self.client is not None
        return {"GAPLESS_HOME": self.client.home.path, "TMPDIR": self._temporary}

    def environment_of_builds(self) -> dict[str, str]:
        """Return the variables that a build gets, which starts no supervisor."""
        return {
            "GAPLESS_HOME": self.place("home-of-builds"),
            "GAPLESS_STARTS": "no",
            "TMPDIR": self._temporary,
        }

    def request(
        self, op: str, *, on_event: OnEvent | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Send a request to the supervisor.  Raises GaplessError."""
        assert self.client is not None
        found: dict[str, Any] = self.client.request(op, on_event=on_event, **fields)
        return found

    def change(
        self, op: str, spec: AppSpec, on_event: OnEvent | None = None
    ) -> dict[str, Any]:
        """Start or reload the app; return the report.  Raises GaplessError."""
        fields: dict[str, Any] = {"spec": codec.encode(spec)}
        if op != "start":
            fields["app"] = spec.name
        return self.request(op, on_event=on_event, **fields)

    def _clean_environment(self, temporary: str) -> None:
        for name in ("GAPLESS_STARTS", "GAPLESS_HOME", "NOTIFY_SOCKET", "LISTEN_FDS"):
            os.environ.pop(name, None)
        os.environ["TMPDIR"] = temporary

    # --- the end ----------------------------------------------------------------------

    def end_supervisor(self) -> None:
        """Kill the supervisor and all that it has started: nobody uses it any more.

        One that has made control groups removes them first.
        """
        client, self.client = self.client, None
        if client is not None and self._has_groups:

            def shut_down() -> None:
                with contextlib.suppress(GaplessError, OSError):
                    client.request("shutdown")

            asking = threading.Thread(target=shut_down, daemon=True)
            asking.start()
            asking.join(SHUTDOWN_S)
        descendants.end_all("")

    def remove(self) -> None:
        """Remove the directory, and what lies elsewhere.  Raises OSError."""
        for each in [*self._elsewhere, self._around]:
            paths.remove(each)


@contextmanager
def opened() -> Iterator[Stage]:
    """Make a stage; end what it has started and remove it, however this ends.

    SIGTERM and SIGHUP end it as SIGINT does: by KeyboardInterrupt.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for each in _ENDS:
        signal.signal(each, _interrupt)
    before = dict(os.environ)
    stage = Stage(tempfile.mkdtemp(prefix="gapless-rehearsal-"))
    try:
        yield stage
    finally:
        for each in (signal.SIGINT, *_ENDS):
            signal.signal(each, signal.SIG_IGN)  # it is ending, and soon
        try:
            stage.end_supervisor()
        finally:
            stage.remove()
            os.environ.clear()
            os.environ.update(before)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for each in _ENDS:
                signal.signal(each, signal.SIG_DFL)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
