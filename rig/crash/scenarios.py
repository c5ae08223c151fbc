"""What goes on when the supervisor dies, and what has to be true afterwards."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from rig.crash.address import Address
from rig.hosts.host import APPS, Host

APP, KEPT_APP = APPS / "tiny.py", APPS / "relay" / "tiny_kept.py"
NAME, BEFORE = "app", "db"
"""The app, and where a scenario has two the one that it is after, or shares with."""
NOTES = "notes"
"""The file in which both note when they begin and end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What has to be so in the end."""

    code: int = 0
    """The exit code of the command."""
    or_code: int = 0
    """Another one that is true as well: what was asked for failed, and changed nothing."""
    status: str = "online"
    """The status that `list` shows; empty: no app, "gone": no supervisor."""
    release: str = "1"
    instances: int = 1
    beside: str = ""
    """The status of the app that this one is after; empty: any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One thing that users do, or that happens to an app."""

    name: str
    words: tuple[str, ...]
    """The command; `die` alone: an instance is asked to end by itself."""
    outcome: Outcome
    alone: tuple[Outcome, ...] = ()
    """What else may be so if the command dies too: nobody had written down what it asked.
    """
    release: str = "2"
    """The release that the configuration names when the command runs."""
    dies: str = ""
    """When that release ends by itself: see `rig/apps/tiny.py`."""
    more: str = ""
    """More lines of its configuration."""
    instances: int = 1
    starts: bool = True
    """Whether the app runs already, as release 1."""
    loaded: bool = True
    """Whether new connections come in all the time, of which none may be lost."""
    kept: bool = False
    """Whether clients keep their connections too, so that these are taken over."""
    on_path: bool = False
    """Whether it serves on a Unix-domain path."""
    background: bool = False
    """Whether it goes into the background."""
    after: bool = False
    """Whether there is another app, which it is after."""
    shares: bool = False
    """Whether there is another app, which has a part of its port."""
    long: bool = False
    """Whether only `make soak` runs it."""


SCENARIOS = (
    Scenario(
        name="first-start",
        words=("start", "app.toml"),
        outcome=Outcome(release="2"),
        alone=(Outcome(status="", instances=0),),
        starts=False,
        loaded=False,
    ),
    Scenario(
        name="reload",
        words=("reload", "app.toml"),
        outcome=Outcome(release="2"),
        alone=(Outcome(),),
    ),
    Scenario(
        name="takeover",
        words=("reload", "app.toml"),
        outcome=Outcome(release="2"),
        alone=(Outcome(),),
        kept=True,
    ),
    Scenario(
        name="failing-reload",
        words=("reload", "app.toml"),
        outcome=Outcome(code=1),
        dies="start",
    ),
    Scenario(
        name="dies-proving",
        words=("reload", "app.toml"),
        outcome=Outcome(code=1),
        dies="served",
        more="min_healthy_s = 2",
    ),
    Scenario(
        name="recycle",
        words=("reload", "app.toml"),
        outcome=Outcome(release="2", instances=2),
        alone=(Outcome(instances=2),),
        instances=2,
        more="overlap = false",
    ),
    Scenario(
        name="scale-up",
        words=("scale", NAME, "3"),
        outcome=Outcome(instances=3),
        alone=(Outcome(),),
        release="1",
    ),
    Scenario(
        name="scale-down",
        words=("scale", NAME, "1"),
        outcome=Outcome(),
        alone=(Outcome(instances=3),),
        release="1",
        instances=3,
    ),
    Scenario(
        name="crash-restart",
        words=("die",),
        outcome=Outcome(),
        release="1",
    ),
    Scenario(
        name="stop",
        words=("stop", NAME),
        outcome=Outcome(status="stopped", instances=0),
        alone=(Outcome(),),
        release="1",
        loaded=False,
    ),
    Scenario(
        name="delete",
        words=("delete", NAME),
        outcome=Outcome(status="", instances=0),
        alone=(Outcome(),),
        release="1",
        loaded=False,
    ),
    Scenario(
        name="shutdown",
        words=("shutdown",),
        outcome=Outcome(status="gone", instances=0),
        alone=(Outcome(), Outcome(status="stopped", instances=0)),
        release="1",
        loaded=False,
    ),
    Scenario(
        name="upgrade",
        words=("upgrade",),
        outcome=Outcome(or_code=1),
        release="1",
        long=True,
    ),
    Scenario(
        name="path-reload",
        words=("reload", "app.toml"),
        outcome=Outcome(release="2"),
        alone=(Outcome(),),
        on_path=True,
        long=True,
    ),
    Scenario(
        name="path-dies-proving",
        words=("reload", "app.toml"),
        outcome=Outcome(code=1),
        dies="served",
        more="min_healthy_s = 2",
        on_path=True,
        long=True,
    ),
    Scenario(
        name="path-stop",
        words=("stop", NAME),
        outcome=Outcome(status="stopped", instances=0),
        alone=(Outcome(),),
        release="1",
        loaded=False,
        on_path=True,
        long=True,
    ),
    Scenario(
        name="background-start",
        words=("start", "app.toml"),
        outcome=Outcome(release="2"),
        alone=(Outcome(status="", instances=0),),
        starts=False,
        loaded=False,
        background=True,
        long=True,
    ),
    Scenario(
        name="background-reload",
        words=("reload", "app.toml"),
        outcome=Outcome(release="2"),
        alone=(Outcome(),),
        background=True,
        long=True,
    ),
    Scenario(
        name="background-dies",
        words=("die",),
        outcome=Outcome(),
        release="1",
        background=True,
        long=True,
    ),
    Scenario(
        name="after-start",
        words=("start", "app.toml"),
        outcome=Outcome(release="2", beside="online"),
        alone=(Outcome(status="", instances=0),),
        starts=False,
        loaded=False,
        after=True,
        long=True,
    ),
    Scenario(
        name="after-stop",
        words=("stop", "all"),
        outcome=Outcome(status="stopped", instances=0, beside="stopped"),
        alone=(
            Outcome(),
            Outcome(status="stopped", instances=0),
        ),
        release="1",
        loaded=False,
        after=True,
        long=True,
    ),
    Scenario(
        name="share-reload",
        words=("reload", "app.toml"),
        outcome=Outcome(release="2", beside="online"),
        alone=(Outcome(beside="online"), Outcome(release="2", beside="online")),
        shares=True,
        long=True,
    ),
    Scenario(
        name="share-stop",
        words=("stop", NAME),
        outcome=Outcome(status="stopped", instances=0, beside="online"),
        alone=(Outcome(beside="online"),),
        release="1",
        shares=True,
        long=True,
    ),
)
EFFECTS = {
    "first-start": 81,
    "reload": 67,
    "takeover": 80,
    "failing-reload": 36,
    "dies-proving": 68,
    "recycle": 117,
    "scale-up": 51,
    "scale-down": 86,
    "crash-restart": 31,
    "stop": 50,
    "delete": 49,
    "shutdown": 47,
    "upgrade": 33,
    "path-reload": 63,
    "path-dies-proving": 65,
    "path-stop": 39,
    "background-start": 85,
    "background-reload": 70,
    "background-dies": 38,
    "after-start": 140,
    "after-stop": 96,
    "share-reload": 142,
    "share-stop": 55,
}
"""How many side effects the supervisor has in each of them: docs/crash-points.md."""
KEEPER_EFFECTS = {
    "first-start": 57,
    "reload": 74,
    "takeover": 190,
    "recycle": 148,
    "crash-restart": 57,
    "shutdown": 49,
    "path-reload": 84,
    "background-reload": 88,
    "upgrade": 38,
}
"""How many side effects the keeper has in some of them: messages, calls, forks, ends."""
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def declare(
    host: Host, scenario: Scenario, address: Address, *, release: str, dies: str = ""
) -> None:
    """Write the configuration of a release of the app."""
    more = [scenario.more, f"instances = {scenario.instances}"]
    if "min_healthy_s" not in scenario.more:
        more.append("min_healthy_s = 0.05")
    variables = {"PORT": str(address.port), "RELEASE": release, "DIES": dies}
    if address.path is not None:
        variables["APP_SOCKET"] = str(address.path)
    if scenario.background:
        variables["BACKGROUND"] = "yes"
    lines = []
    if scenario.after:
        variables["NOTES"] = str(host.directory / NOTES)
        lines = _app(BEFORE, APP, variables | {"PORT": str(address.other)}, more)
        more.append(f'after = ["{BEFORE}"]')
    if scenario.shares:
        more.append('share_ports = "web"')
        lines = _app(BEFORE, APP, variables, more)
    lines += _app(NAME, KEPT_APP if scenario.kept else APP, variables, more)
    host.configure("\n".join(lines) + "\n", f"{NAME}.toml")


def _app(
    name: str, program: Path, variables: dict[str, str], more: list[str]
) -> list[str]:
    command = json.dumps([sys.executable, "-I", "-S", str(program)])
    named = {"NAME": name} | variables
    environment = ", ".join(f"{key} = {json.dumps(v)}" for key, v in named.items())
    return [
        f"[app.{name}]",
        f"command = {command}",
        f"environment = {{ {environment} }}",
        *filter(None, more),
    ]
