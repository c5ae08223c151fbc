"""The verbs of the command line: one verb, one file, in the package of its topic."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """Verbs that belong together."""

    title: str
    package: str
    """The package below this one that holds their files."""
    verbs: dict[str, str]
    """What each does, in one line."""


TOPICS = (
    Topic(
        title="Apps",
        package="apps",
        verbs={
            "init": "write a gapless.toml for what is in a directory",
            "start": "start an app: a gapless.toml, a script, or any program",
            "reload": "hand over to a new generation, with its configuration read again",
            "restart": "hand over to a new generation with the same configuration",
            "scale": "change the number of instances",
            "stop": "let an app finish what it began, and end it",
            "delete": "stop an app, and remove it from the list",
            "serve": "start an app that serves the static files of a directory",
        },
    ),
    Topic(
        title="Inspect",
        package="inspect",
        verbs={
            "list": "list the apps of this host",
            "top": "show the apps of this host live, with keys that change them",
            "describe": "show everything about one app",
            "procedures": "list the procedures that run, by name and since when",
            "logs": "print the logs of apps",
            "env": "print the environment of an app",
            "pid": "print the pids of an app",
            "signal": "send a signal to the instances of an app",
            "flush": "empty the logs of apps",
            "reset": "set the restart counters of apps to zero",
            "notify": "tell people what happens: webhook, command or mail",
            "metrics": "answer Prometheus about this host, its apps and releases",
            "web": "show this host on a web page, live",
        },
    ),
    Topic(
        title="Releases",
        package="releases",
        verbs={
            "publish": "make a tarball the current release, and hand over to it",
            "watch": "publish what is uploaded to the inbox",
            "rehearse": "hand over and back under load, where nothing that runs is touched",
            "releases": "list the releases of an app",
            "rollback": "go back to an earlier release",
            "run": "run a command in an app's directory and environment",
        },
    ),
    Topic(
        title="Fleets",
        package="fleet",
        verbs={
            "push": "upload a release to the release server",
            "rollout": "show or control a rollout: status, hold, resume, abort, history",
            "agent": "follow the rollouts of a fleet on this host",
        },
    ),
    Topic(
        title="This machine",
        package="machine",
        verbs={
            "drain": "take this host out of service: refuse requests, wait until idle",
            "undrain": "put this host back into service",
            "balancer": "write a load balancer's configuration, or check one",
            "check": "validate a configuration, and show what would change",
            "doctor": "check what this machine supports",
            "upgrade": "replace what runs by the version that is installed",
            "supervise": "run the supervisor in the foreground",
            "shutdown": "stop every app, then the supervisor; a boot brings them back",
            "save": "save the list of apps for `resurrect`",
            "resurrect": "start the apps that `save` listed",
            "startup": "start the apps at boot: a unit of systemd",
        },
    ),
    Topic(
        title="For editors and shells",
        package="reference",
        verbs={
            "schema": "print a JSON Schema: of gapless.toml, or of what --json prints",
            "completion": "print a shell's completion script",
            "man": "print a page for man(1)",
        },
    ),
    Topic(
        title="For users of PM2",
        package="pm2",
        verbs={
            "pm2": "accept PM2's verbs and options; --install writes a command `pm2`",
            "jlist": "list the instances in the format of `pm2 jlist`",
        },
    ),
)

PACKAGES = {verb: topic.package for topic in TOPICS for verb in topic.verbs}
"""The package that holds a verb's file."""

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
    "sendSignal": "signal",
}
"""Other words for a verb, as PM2 has them."""


def module_of(verb: str) -> str:
    """Return the name of the module that implements a verb."""
    return f"{__name__}.{PACKAGES[verb]}.{verb}"
