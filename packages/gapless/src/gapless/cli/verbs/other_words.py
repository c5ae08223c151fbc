"""What is typed by people who know PM2, systemd, kubectl or docker: our word for it.  Pure.

A word that has exactly our meaning is an alias.  These are refused, because what they mean
elsewhere is another thing, several things, or nothing here; the hint names what there is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_LIVE = "`gapless top` shows the apps of this host live, `gapless web` in a browser"
_FILE = "`gapless start FILE` starts its apps; `gapless reload FILE` hands over to them"
_BOOT = (
    "`gapless startup` writes a unit of systemd; `gapless startup --remove` removes it"
)
_REREAD = "nothing to read anew: `gapless reload APP` reads the app's file again"
_SETTINGS = "settings are keys of gapless.toml: docs/configuration.md; `gapless check`"
_LINES = "`gapless logs APP -f` prints the lines of an app, and those that come"
_MODULES = (
    "there are no modules: logs are rotated without one (docs/logs.md), and "
    "`gapless metrics` answers Prometheus"
)
_END = "`gapless stop all` stops the apps; `gapless shutdown` the supervisor, too"
_RELEASE = (
    "`gapless publish TARBALL` makes a release current on this host, `gapless push` "
    "brings one to the release server"
)
_BACK = "`gapless rollback APP` goes back; `gapless releases APP` lists the releases"
_STATE = "`gapless list` shows the apps, `gapless describe APP` everything about one"
_PM2 = "`gapless pm2 {word}` accepts PM2's verb (docs/pm2.md)"

_VERBS: tuple[tuple[str, str], ...] = (
    (
        "kill",
        "`gapless shutdown` stops every app and the supervisor; `gapless signal` "
        "sends a signal to an app, `gapless stop APP` ends one",
    ),
    ("monit dash dashboard plus htop stats watch-all", _LIVE),
    ("prettylist", "`gapless list --json`; `gapless jlist` is PM2's format"),
    ("get is-active is-enabled ping id inspect cat", _STATE),
    (
        "startOrReload startOrRestart startOrGracefulReload gracefulReload apply up",
        _FILE,
    ),
    ("down quit exit halt stopall terminate", _END),
    ("enable disable unstartup mask unmask", _BOOT),
    ("daemon-reload daemon-reexec reread reloadLogs", _REREAD),
    ("set unset conf config edit multiset", _SETTINGS),
    ("validate test lint configtest diff plan", "`gapless check FILE`"),
    ("tail journalctl attach log-follow", _LINES),
    ("install uninstall module plugins", _MODULES),
    ("update updatePM2", "`gapless upgrade` replaces what runs by what is installed"),
    ("dump", "`gapless save` saves the list of apps for `gapless resurrect`"),
    ("report diagnose sysinfos", "`gapless doctor` checks this machine"),
    ("ecosystem create examples new generate", "`gapless init` writes a gapless.toml"),
    ("deploy ship promote build", _RELEASE),
    ("undo revert backward history", _BACK),
    ("exec sh shell", "`gapless run APP -- CMD`"),
    ("rm remove", "`gapless delete APP` stops an app, and removes it from the list"),
    ("cordon", "`gapless drain` takes this host out of service"),
    ("uncordon", "`gapless undrain` puts this host back into service"),
    ("cleardump trigger forward pull send", _PM2),
)
_ROLLOUT = {
    "restart": "`gapless restart APP` on a host; a fleet changes by a release: "
    "`gapless push`",
    "start": "a rollout begins with a release: `gapless push`",
    "stop": "`gapless rollout hold APP`",
    "cancel": "`gapless rollout abort APP`",
    "continue": "`gapless rollout resume APP`",
}

_NO_FORCE = {
    "start": "--name NAME starts a second app of the same program",
    "stop": "it waits no longer than `stop.drain_timeout_s` of the app, then ends it",
    "reload": "it hands over also where nothing has changed",
}
_NO_FORCE |= {"delete": _NO_FORCE["stop"], "restart": _NO_FORCE["reload"]}
_AS_JSON = "--json prints JSON"
_COUNT = {"start": "-i N", "scale": "gapless scale APP N", "": "`gapless scale APP N`"}
_HANDING = ("start", "reload", "restart", "scale", "stop", "delete")
_HOW_LONG = "`stop.drain_timeout_s` in the app's table of gapless.toml says how long"
_OF_FILES = ("start", "reload", "restart", "stop", "delete", "check")
_SEVERAL = "APP..."
"""In the place of a verb: every verb that takes several apps."""
_OPTIONS: tuple[tuple[str, dict[str, str]], ...] = (
    ("--force -f", _NO_FORCE),
    ("--all -a", {"list": "it lists all apps", _SEVERAL: "`all` in the place of APP"}),
    ("-w --watch", {"": _LIVE}),
    ("-o --output --format", {"": _AS_JSON}),
    (
        "--tail --since --until -S -U",
        {
            "logs": "-n N prints the last N lines, -f follows; all of them are in the "
            "files that `gapless describe APP` names"
        },
    ),
    ("-u --unit", {"logs": "gapless logs APP"}),
    ("--nostream --no-follow", {"logs": "it ends by itself: only -f follows"}),
    ("--replicas -i --instances --count --scale", _COUNT),
    ("--processes --workers", {"start": "-i N"}),
    ("-d --detach --daemon", {"start": "it goes on in the background without one"}),
    (
        "--env-file",
        {"": 'environment_file = ".env" in the app\'s table of gapless.toml'},
    ),
    ("-C --workdir --working-directory --directory --chdir", {"start": "--cwd DIR"}),
    (
        "--file --config",
        {verb: f"a file has no option: gapless {verb} FILE" for verb in _OF_FILES},
    ),
    ("-t --time --timeout --grace-period", dict.fromkeys(_HANDING, _HOW_LONG)),
    ("-y --yes --no-interaction", {"": "nothing is asked, so nothing is to confirm"}),
    ("-s --silent -q --quiet", {"": "> /dev/null; the exit code says how it ended"}),
    ("-n --namespace", {_SEVERAL: "a namespace stands in the place of APP"}),
    ("--dry-run", {"": "`gapless check FILE` shows what would change"}),
    (
        "--no-color --no-colour",
        {"": "--plain prints no colours, and so does NO_COLOR=1"},
    ),
)
_COMMAND = re.compile(r"`[^`]*`")
_OPTION = re.compile(r"(?<!\S)--?[A-Za-z][\w-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Takes:
    """What a verb takes."""

    options: tuple[str, ...]
    several_apps: bool = False
    """Names, namespaces, `all`; else one app, or none."""


def of_verb(word: str) -> str:
    """Return what to type in place of a verb of another program; empty: not known."""
    for words, hint in _VERBS:
        if word in words.split():
            return hint.format(word=word)
    return ""


def verbs() -> list[str]:
    """Return the verbs of other programs that have a hint."""
    return [word for words, _ in _VERBS for word in words.split()]


def options() -> list[str]:
    """Return the options of other programs that have a hint."""
    return [word for words, _ in _OPTIONS for word in words.split()]


def hints() -> list[str]:
    """Return every hint."""
    of_options = [hint for _, by_verb in _OPTIONS for hint in by_verb.values()]
    return [*(hint for _, hint in _VERBS), *_ROLLOUT.values(), *of_options]


def of_arguments(verb: str, words: Sequence[str], takes: Takes, problem: str) -> str:
    """Return what to do about words that a verb does not take.

    *problem* is what argparse says.  Empty: that says it all.
    """
    if problem.endswith("expected one argument"):
        return "a value that begins with - is joined by =: --option=-value"
    own = words[: words.index("--")] if "--" in words else words
    for word in own:
        name = word.partition("=")[0]
        if len(name) > 1 and name.startswith("-") and not name[1:].isdigit():
            is_short = not name.startswith("--")
            known = (name, name[:2]) if is_short else (name,)
            if {*known}.isdisjoint(takes.options):
                return _of_option(verb, name, takes)
        if verb == "rollout" and word in _ROLLOUT:
            return _ROLLOUT[word]
    if verb == "start" and problem.startswith("unrecognized"):
        return "words for the program come after --: gapless start PROGRAM -- WORD..."
    if problem.endswith("required: APP"):
        every = "; `all` is every app" if takes.several_apps else ""
        return f"`gapless list` has the names{every}"
    return ""


def _of_option(verb: str, name: str, takes: Takes) -> str:
    for names, by_verb in _OPTIONS:
        if name in names.split():
            for hint in _hints(verb, names.split(), by_verb, takes):
                return hint
    long = [each for each in takes.options if each.startswith("--")]
    begins = [each for each in long if each.startswith(name)]
    close = begins[:1] or difflib.get_close_matches(name, long, 1, 0.7)
    if close:
        return f"did you mean {close[0]}?"
    return f"`gapless {verb} --help` lists its options"


def _hints(
    verb: str, names: Sequence[str], by_verb: dict[str, str], takes: Takes
) -> Iterator[str]:
    """Yield hints that can be typed, the one that fits best first."""
    if verb in by_verb:
        yield by_verb[verb]
    for name in names:
        if name.startswith("--") and name in takes.options:
            yield f"did you mean {name}?"
    if takes.several_apps and _SEVERAL in by_verb:
        yield by_verb[_SEVERAL]
    general = by_verb.get("", "")
    named = _OPTION.findall(_COMMAND.sub("", general))
    if general and {*named} <= {*takes.options}:
        yield general
