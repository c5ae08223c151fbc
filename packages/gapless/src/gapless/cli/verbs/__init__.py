"""The verbs of the command line: one verb, one file, in the room of its topic."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """Verbs that belong together."""

    title: str
    room: str
    """The package below this one that holds their files."""
    verbs: dict[str, str]
    """What each does, in a line."""


TOPICS = (
    Topic(
        "Apps",
        "apps",
        {
            "start": "start an app: a gapless.toml, a script, or any program",
            "reload": "hand over to a new generation with the configuration as it is now",
            "restart": "hand over to a new generation of the same configuration",
            "scale": "run more or fewer instances",
            "stop": "let an app finish what it began, and end it",
            "delete": "stop an app and forget it",
        },
    ),
    Topic(
        "Inspect",
        "inspect",
        {
            "list": "what runs here",
            "describe": "everything about one app",
            "procedures": "the procedures that run, by name and since when",
            "logs": "what apps print",
            "env": "the environment of an app",
            "pid": "the pids of an app",
            "signal": "send a signal to the instances of an app",
            "flush": "empty the logs of apps",
            "reset": "count restarts from zero",
        },
    ),
    Topic(
        "Releases",
        "releases",
        {
            "publish": "make a tarball the current release, and hand over to it",
            "watch": "publish what is uploaded to the inbox",
            "releases": "the releases of an app",
            "rollback": "go back to an earlier release",
            "run": "run a command in an app's directory and environment",
        },
    ),
    Topic(
        "Fleets",
        "fleet",
        {
            "push": "upload a release to the release server",
            "rollout": "how far a fleet is: status, hold, resume, abort, history",
            "agent": "follow the rollouts of a fleet on this host",
        },
    ),
    Topic(
        "This machine",
        "machine",
        {
            "drain": "let this host leave service: 503 for the balancer, then wait",
            "undrain": "let this host serve again",
            "balancer": "write a balancer's configuration, or check one",
            "check": "validate a configuration, and tell what would change",
            "doctor": "what this machine can do, and what works without",
            "supervise": "be the supervisor, in the foreground",
            "shutdown": "stop every app, then the supervisor",
            "save": "keep the list of apps for `resurrect`",
            "resurrect": "bring back the apps that `save` kept",
            "startup": "have the apps back after a boot: a unit of systemd",
            "completion": "print a shell's completion script",
        },
    ),
    Topic(
        "For users of PM2",
        "pm2",
        {
            "pm2": "PM2's verbs and options; --install puts a command `pm2` in PATH",
            "jlist": "what runs here, in the shape of `pm2 jlist`",
        },
    ),
)

ROOMS = {verb: topic.room for topic in TOPICS for verb in topic.verbs}
"""Which room a verb's file is in."""

ALIASES = {
    "ls": "list",
    "l": "list",
    "ps": "list",
    "status": "list",
    "show": "describe",
    "info": "describe",
    "desc": "describe",
    "del": "delete",
    "log": "logs",
    "kill": "shutdown",
    "sendSignal": "signal",
}


def module_of(verb: str) -> str:
    """Return the name of the module that does what a verb says."""
    return f"{__name__}.{ROOMS[verb]}.{verb}"
