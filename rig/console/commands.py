"""The commands of the rig: releases, faults, and questions about what they did."""

from __future__ import annotations

import collections
import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

from rig import wait
from rig.fleets.fleet import APP, Fleet
from rig.fleets.member import Member
from rig.load.process import Load

HELP = """\
  upload 2              a good release; more words make it another:
  upload 3 broken       it cannot start        upload 4 sick 3   its /health fails after 3 s
  upload 5 late 5       it listens after 5 s
  upload 6 slow-build   its build takes 10 s   upload 7 no-build its build fails
  wait                  until the rollout has ended
  status, history       as `gapless rollout`; so do hold, resume, abort and rollback
  runs                  the version that each host serves, without the balancer
  load                  the counts of the load: lost, by fate, by instance
  kill s1               its power is cut; boot s1 brings it back
  kill agent s1, kill supervisor s1, kill keeper s1, kill watch, kill e0
  follow s1, watch, start e0      start the agent, the release server, the member of etcd
  pause s1, resume s1   all of the host; also pause agent s1, pause e0, ...
  part s1, rejoin s1    take it off the network; bring it back
  old s1, new s1        it sees the shared directory as it was; as it is
  fill s1, free s1      its small disk (--small-disk s1=8)
  log s1, log watch     what the agent, the release server has printed
  quit"""
BUILDS = {"slow-build": "sleep 10", "no-build": "echo 'no luck' >&2; exit 1"}
ENDED = ("done", "reverted", "held", "stuck")
WAIT_S = 600.0


class Commands:
    """Runs the lines that a user types."""

    def __init__(self, fleet: Fleet, load: Load, ledger: Path) -> None:
        self._fleet, self._load, self._ledger = fleet, load, ledger
        self._lost, self._state = 0, ""
        self._before_upload: tuple[int, int] | None = None
        """The number of the rollout then, and the length of the release server's log."""
        self._members = {member.name: member for member in fleet.members}

    def run(self, line: str) -> bool:
        """Run a line, and print its errors; return False if it ends the session."""
        try:
            words = shlex.split(line)
        except ValueError as error:
            print(error)
            return True
        if not words:
            return True
        if words[0] in ("quit", "exit", "q"):
            return False
        try:
            self._run(*words)
        except (
            AssertionError,
            LookupError,
            OSError,
            TypeError,
            ValueError,
            subprocess.SubprocessError,
        ) as error:
            print(f"{line}: {error or type(error).__name__}; `help` lists the commands")
        return True

    def changes(self) -> str:
        """Return what has changed since the last call, in lines; "" if nothing has."""
        lines = []
        lost = self._load.lost()
        if lost != self._lost:
            total = self._load.answered() + lost
            lines.append(f"{lost - self._lost} more lost: {lost} of {total}")
            self._lost = lost
        state = self._rollout()
        if state != self._state:
            self._state = state
            lines.append(f"{state}; {lost} lost")
        return "\n".join(lines)

    def _rollout(self) -> str:
        try:
            found = self._fleet.status()
        except (AssertionError, ValueError):
            return "the coordinator does not answer"
        phases = collections.Counter(each["phase"] for each in found["hosts"])
        shown = ", ".join(f"{n} {phase}" for phase, n in sorted(phases.items()))
        reason = f": {found['reason']}" if found.get("reason") else ""
        return f"rollout {found.get('number')} {found['state']}{reason} ({shown})"

    def _run(self, verb: str, *words: str) -> None:
        if verb == "upload":
            self._upload(*words)
        elif verb in ("status", "history", "hold", "resume", "abort") and not words:
            self._gapless("rollout", verb, APP)
        elif verb in self._simple_commands:
            self._simple_commands[verb](*words)
        elif words and words[-1].startswith("e"):
            self._etcd(verb, int(words[-1][1:]))
        elif words == ("watch",):
            known: dict[str, Callable[[], None]] = {
                "kill": self._fleet.kill_watch,
                "log": lambda: print(self._fleet.watch_log(), end=""),
            }
            known[verb]()
        elif words and words[-1] in self._members:
            *more, name = words
            self._fault(" ".join([verb, *more]), self._members[name])
        else:
            raise ValueError("no such command")

    @property
    def _simple_commands(self) -> dict[str, Callable[..., None]]:
        return {
            "help": lambda: print(HELP),
            "wait": self._wait,
            "rollback": lambda: self._gapless("rollback", APP, "--no-wait"),
            "runs": lambda: print(self._fleet.runs()),
            "load": self._print_load,
            "watch": self._fleet.watch,
        }

    # --- releases -----------------------------------------------------------------------

    def _upload(self, *words: str) -> None:
        version = [word for word in words if word not in BUILDS]
        builds = [BUILDS[word] for word in words if word in BUILDS]
        if not version:
            raise ValueError("which version? `upload 2`")
        number = self._fleet.status().get("number", 0)
        self._before_upload = (number, len(self._fleet.watch_log()))
        print(self._fleet.put(" ".join(version), *builds))

    def _wait(self) -> None:
        """Wait until the upload is a rollout, or is refused; then for the rollout's end."""
        if self._before_upload is not None:
            number, length = self._before_upload

            def judged() -> bool:
                refused = "gapless: " in self._fleet.watch_log()[length:]
                return refused or self._fleet.status().get("number", 0) > number

            wait.until(judged, "the release server to judge the upload", WAIT_S)
            self._before_upload = None
        self._fleet.until(*ENDED, timeout_s=WAIT_S)
        print(self._rollout())

    def _gapless(self, *command: str) -> None:
        done = self._fleet.publisher.gapless(*command)
        print(done.stdout + done.stderr, end="")

    # --- the load -----------------------------------------------------------------------

    def _print_load(self) -> None:
        lost, answered = self._load.lost(), self._load.answered()
        print(f"{answered} answered, {lost} lost; releases {self._load.versions()}")
        lines = [
            json.loads(x) for x in self._ledger.read_text().splitlines() if x[-1] == "}"
        ]
        for field in ("fate", "instance"):
            counts = collections.Counter(str(line[field]) or "none" for line in lines)
            print(f"by {field}: {dict(counts)}")
        for line in [line for line in lines if line["fate"] != "answered"][-5:]:
            print(f"lost: {line}")

    # --- faults -------------------------------------------------------------------------

    def _fault(self, name: str, member: Member) -> None:
        dist = self._fleet.base / "dist"
        disk = member.setup.disk
        known: dict[str, Callable[[], object]] = {
            "kill": member.kill,
            "boot": member.boot,
            "kill agent": member.kill_agent,
            "kill supervisor": member.kill_supervisor,
            "kill keeper": member.kill_keeper,
            "follow": member.start_agent,
            "pause": member.pause,
            "resume": member.resume,
            "pause agent": member.pause_agent,
            "resume agent": member.resume_agent,
            "part": member.disconnect,
            "rejoin": member.reconnect,
            "old": lambda: member.see_old(dist),
            "new": lambda: member.see_new(dist),
            "log": lambda: print(member.agent_log(), end=""),
        }
        if disk is not None:
            known |= {"fill": disk.fill, "free": disk.free}
        if name not in known:
            raise ValueError(f"no such fault here: {name}")
        known[name]()

    def _etcd(self, verb: str, number: int) -> None:
        etcd = self._fleet.etcd
        if etcd is None:
            raise ValueError("there is no etcd: --etcd 3")
        acts = {
            "kill": etcd.kill,
            "start": etcd.begin,
            "pause": etcd.pause,
            "resume": etcd.resume,
        }
        acts[verb](number)
