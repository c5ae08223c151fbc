"""What can be typed into the rig: releases, faults, and looks at what they did."""

from __future__ import annotations

import collections
import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

from rig import wait
from rig.hosts.fleet import (
    APP,
    Fleet,
    Member,
)
from rig.load.running import Running

HELP = """\
  upload 2              a good release; more words make it another:
  upload 3 broken       it cannot start        upload 4 sick 3   its /health fails after 3 s
  upload 5 late 5       it listens after 5 s
  upload 6 slow-build   its build takes 10 s   upload 7 no-build its build fails
  wait                  until the rollout has ended
  status, history       what gapless says; hold, resume, abort, rollback do what they say
  runs                  what each host answers, asked directly
  load                  what the load met: lost, by fate, by instance
  kill s1               its power is cut; boot s1 brings it back
  kill agent s1, kill supervisor s1, kill keeper s1, kill watch, kill e0
  follow s1, watch, start e0      start again: the agent, the release server, etcd's member
  pause s1, resume s1   all of the host; also pause agent s1, pause e0, ...
  part s1, rejoin s1    off the network and back
  old s1, new s1        it sees the shared directory as it was; as it is
  fill s1, free s1      its small disk (--small-disk s1=8)
  log s1, log watch     what the agent, the release server said
  quit"""
BUILDS = {"slow-build": "sleep 10", "no-build": "echo 'no luck' >&2; exit 1"}
ENDED = ("done", "reverted", "held", "stuck")
WAIT_S = 600.0


class Hands:
    """Does what is typed."""

    def __init__(self, fleet: Fleet, under_load: Running, ledger: Path) -> None:
        self._fleet, self._load, self._ledger = fleet, under_load, ledger
        self._lost, self._state = 0, ""
        self._uploaded = (0, 0)
        """The rollout, and the length of what the release server had said, before it."""
        self._members = {member.name: member for member in fleet.members}

    def do(self, line: str) -> bool:
        """Do what a line says; tell whether to go on."""
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
            self._do(*words)
        except (
            AssertionError,
            LookupError,
            OSError,
            TypeError,
            ValueError,
            subprocess.SubprocessError,
        ) as error:
            print(
                f"{line}: {error or type(error).__name__}; `help` lists what there is"
            )
        return True

    def news(self) -> str:
        """Return what has changed since the last time; nothing if nothing has."""
        news = []
        lost = self._load.lost()
        if lost != self._lost:
            of = self._load.answered() + lost
            news.append(f"{lost - self._lost} more lost: {lost} of {of}")
            self._lost = lost
        state = self._rollout()
        if state != self._state:
            self._state = state
            news.append(f"{state}; {lost} lost")
        return "\n".join(news)

    def _rollout(self) -> str:
        try:
            found = self._fleet.status()
        except (AssertionError, ValueError):
            return "the coordinator does not answer"
        phases = collections.Counter(each["phase"] for each in found["hosts"])
        shown = ", ".join(f"{n} {phase}" for phase, n in sorted(phases.items()))
        reason = f": {found['reason']}" if found.get("reason") else ""
        return f"rollout {found.get('number')} {found['state']}{reason} ({shown})"

    def _do(self, verb: str, *words: str) -> None:
        if verb == "upload":
            self._upload(*words)
        elif verb in ("status", "history", "hold", "resume", "abort") and not words:
            self._tell("rollout", verb, APP)
        elif verb in self._plain:
            self._plain[verb](*words)
        elif words and words[-1].startswith("e"):
            self._etcd(verb, int(words[-1][1:]))
        elif words == ("watch",):
            known: dict[str, Callable[[], None]] = {
                "kill": self._fleet.kill_watch,
                "log": lambda: print(self._watch_said(), end=""),
            }
            known[verb]()
        elif words and words[-1] in self._members:
            *what, name = words
            self._fault(" ".join([verb, *what]), self._members[name])
        else:
            raise ValueError("nothing such")

    def _upload(self, *words: str) -> None:
        kept = [word for word in words if word not in BUILDS]
        builds = [BUILDS[word] for word in words if word in BUILDS]
        if not kept:
            raise ValueError("which version? `upload 2`")
        self._uploaded = (
            self._fleet.status().get("number", 0),
            len(self._watch_said()),
        )
        print(self._fleet.put(" ".join(kept), *builds))

    @property
    def _plain(self) -> dict[str, Callable[..., None]]:
        return {
            "help": lambda: print(HELP),
            "wait": self._wait,
            "rollback": lambda: self._tell("rollback", APP, "--no-wait"),
            "runs": lambda: print(self._fleet.runs()),
            "load": self._told,
            "watch": self._fleet.watch,
        }

    def _fault(self, what: str, member: Member) -> None:
        dist = self._fleet.base / "dist"
        disk = member.disk
        known: dict[str, Callable[[], object]] = {
            "kill": member.kill,
            "boot": member.boot,
            "kill agent": member.kill_agent,
            "kill supervisor": member.kill_supervisor,
            "kill keeper": member.kill_keeper,
            "follow": member.follow,
            "pause": member.pause,
            "resume": member.resume,
            "pause agent": member.pause_agent,
            "resume agent": member.resume_agent,
            "part": member.part,
            "rejoin": member.rejoin,
            "old": lambda: member.see_old(dist),
            "new": lambda: member.see_new(dist),
            "log": lambda: print(member.said(), end=""),
        }
        if disk is not None:
            known |= {"fill": disk.fill, "free": disk.free}
        if what not in known:
            raise ValueError(f"no such fault here: {what}")
        known[what]()

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

    def _wait(self) -> None:
        """Wait until what was uploaded became a rollout, or was refused, and its end."""
        number, said = self._uploaded

        def judged() -> bool:
            refused = "gapless: " in self._watch_said()[said:]
            return refused or self._fleet.status().get("number", 0) > number

        if said:
            wait.until(judged, "the release server to judge the upload", WAIT_S)
            self._uploaded = (0, 0)
        self._fleet.until(*ENDED, timeout_s=WAIT_S)
        print(self._rollout())

    def _told(self) -> None:
        lost, answered = self._load.lost(), self._load.answered()
        print(f"{answered} answered, {lost} lost; releases {self._load.versions()}")
        lines = [
            json.loads(x) for x in self._ledger.read_text().splitlines() if x[-1] == "}"
        ]
        for field in ("fate", "instance"):
            counts = collections.Counter(str(line[field]) or "nobody" for line in lines)
            print(f"by {field}: {dict(counts)}")
        for line in [line for line in lines if line["fate"] != "answered"][-5:]:
            print(f"lost: {line}")

    def _watch_said(self) -> str:
        return (self._fleet.publisher.directory / "watch.log").read_text()

    def _tell(self, *command: str) -> None:
        done = self._fleet.publisher.gapless(*command)
        print(done.stdout + done.stderr, end="")
