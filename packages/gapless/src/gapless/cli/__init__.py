"""The command line: one verb, one file."""

from __future__ import annotations

VERBS = {
    "start": "start an app: a gapless.toml, a script, or any program",
    "reload": "hand over to a new generation with the configuration as it is now",
    "restart": "hand over to a new generation of the same configuration",
    "scale": "run more or fewer instances",
    "stop": "let an app finish what it began, and end it",
    "delete": "stop an app and forget it",
    "list": "what runs here",
    "describe": "everything about one app",
    "logs": "what apps print",
    "signal": "send a signal to the instances of an app",
    "publish": "make a tarball the current release, and hand over to it",
    "watch": "publish what is uploaded to the inbox",
    "releases": "the releases of an app",
    "rollback": "go back to an earlier release",
    "run": "run a command in an app's directory and environment",
    "drain": "let this host leave service: 503 for the balancer, then wait",
    "undrain": "let this host serve again",
    "check": "validate a configuration, and tell what would change",
    "doctor": "what this machine can do, and what works without",
    "supervise": "be the supervisor, in the foreground",
    "shutdown": "stop every app, then the supervisor",
    "completion": "print a shell's completion script",
}

TOPICS = {
    "Apps": ("start", "reload", "restart", "scale", "stop", "delete"),
    "Looking": ("list", "describe", "logs", "signal"),
    "Releases": ("publish", "watch", "releases", "rollback", "run"),
    "This machine": (
        "drain",
        "undrain",
        "check",
        "doctor",
        "supervise",
        "shutdown",
        "completion",
    ),
}

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
