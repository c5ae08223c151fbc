"""Verbs of PM2 that gapless has another word for: what to type in their place."""

from __future__ import annotations

from collections.abc import Callable

from gapless.base.errors import DONE, FAILED
from gapless.cli import output
from gapless.cli.pm2.settings import ROTATES
from gapless.cli.pm2.words import Words

_ROTATED = "logs are rotated by gapless itself"
_TEXTS = {
    "monit": "`gapless top` shows the apps live, with their logs; docs/screen.md",
    "monitor": "there is no service that gapless reports to; `gapless list --json` has "
    "the numbers",
    "send": "an app here has no standard input; use a signal (`pm2 sendSignal`), or a port",
    "install": "modules are not there: metrics and alarms come from `gapless list --json`",
    "pull": "`gapless publish TARBALL` makes a release, `gapless rollback APP` goes back: "
    "docs/rollout.md",
    "link": "there is no service that gapless reports to",
    "profile:cpu": "`pm2 reload APP --node-args --cpu-prof` writes a profile of the app "
    "when it ends; `--heap-prof` one of its memory",
    "install-otel": "`npm install` what the app needs; gapless adds nothing to it",
    "logrotate": f"{_ROTATED}, without a cron job",
    "sysinfos": "`gapless doctor` tells of this machine",
    "create": "`pm2 init` writes a declaration to begin with; docs/pm2.md has examples",
}
_LIKE = {
    "monit": ("imonit", "dashboard", "dash"),
    "monitor": ("unmonitor",),
    "send": ("attach",),
    "install": (
        *("uninstall", "module:install", "module:update", "module:uninstall"),
        *("module:generate", "module:publish", "package", "publish", "autoinstall"),
    ),
    "pull": ("forward", "backward"),
    "link": ("unlink", "plus", "register", "login", "logout", "open", "deepUpdate"),
    "profile:cpu": ("profile:mem",),
    "install-otel": ("uninstall-otel",),
    "sysinfos": ("slist",),
    "create": ("examples",),
}


def verbs() -> dict[str, Callable[[Words], int]]:
    """Return what says each of them, by verb."""
    return {
        verb: _say(text)
        for first, text in _TEXTS.items()
        for verb in (first, *_LIKE.get(first, ()))
    }


def _say(text: str) -> Callable[[Words], int]:
    def say(words: Words) -> int:
        if any(each.partition("@")[0].endswith(ROTATES) for each in words.about):
            # What a script wants of it is so already.
            print(f"pm2 {words.verb}: nothing to do: {_ROTATED}")
            return DONE
        output.print_error(f"pm2 {words.verb}: gapless has another way for it")
        output.print_error(f"hint: {text}")
        return FAILED

    return say
