"""What is typed by people who know PM2, systemd, kubectl or docker: our word for it.  Pure.

A word that has exactly our meaning is an alias.  These are refused, because what they mean
elsewhere is another thing, several things, or nothing here; the hint names what there is.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

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
_OPTIONS: tuple[tuple[str, dict[str, str]], ...] = (
    ("--force -f", _NO_FORCE),
    ("--all -a", {"list": "it lists all apps", "": "`all` in the place of APP"}),
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
    ("--file --config", {"": "a file has no option: gapless {verb} FILE"}),
    (
        "-t --time --timeout --grace-period",
        {"": "`stop.drain_timeout_s` in the app's table of gapless.toml says how long"},
    ),
    ("-y --yes --no-interaction", {"": "nothing is asked, so nothing is to confirm"}),
    ("-s --silent -q --quiet", {"": "> /dev/null; the exit code says how it ended"}),
    ("-n --namespace", {"": "a namespace stands in the place of APP"}),
    ("--dry-run", {"": "`gapless check FILE` shows what would change"}),
    (
        "--no-color --no-colour",
        {"": "--plain prints no colours, and so does NO_COLOR=1"},
    ),
)


def of_verb(word: str) -> str:
    """Return what to type in place of a verb of another program; empty: not known."""
    for words, hint in _VERBS:
        if word in words.split():
            return hint.format(word=word)
    return ""


def verbs() -> list[str]:
    """Return the verbs of other programs that have a hint."""
    return [word for words, _ in _VERBS for word in words.split()]


def hints() -> list[str]:
    """Return every hint."""
    of_options = [hint for _, by_verb in _OPTIONS for hint in by_verb.values()]
    return [*(hint for _, hint in _VERBS), *_ROLLOUT.values(), *of_options]


def of_arguments(
    verb: str, words: Sequence[str], known: Iterable[str], problem: str
) -> str:
    """Return what to do about words that a verb does not take.

    *known* are its options, and *problem* is what argparse says.  Empty: that says it all.
    """
    options = [*known]
    if problem.endswith("expected one argument"):
        return "a value that begins with - is joined by =: --option=-value"
    own = words[: words.index("--")] if "--" in words else words
    for word in own:
        name = word.partition("=")[0]
        if len(name) > 1 and name.startswith("-") and not name[1:].isdigit():
            is_short = not name.startswith("--")
            if name not in options and not (is_short and name[:2] in options):
                return _of_option(verb, name, options)
        if verb == "rollout" and word in _ROLLOUT:
            return _ROLLOUT[word]
    if verb == "start" and problem.startswith("unrecognized"):
        return "words for the program come after --: gapless start PROGRAM -- WORD..."
    if problem.endswith("required: APP"):
        return "`gapless list` has the names; `all` is every app"
    return ""


def _of_option(verb: str, name: str, options: list[str]) -> str:
    for names, by_verb in _OPTIONS:
        if name in names.split() and (hint := by_verb.get(verb) or by_verb.get("")):
            return hint.format(verb=verb)
    long = [each for each in options if each.startswith("--")]
    begins = [each for each in long if each.startswith(name)]
    close = begins[:1] or difflib.get_close_matches(name, long, 1, 0.7)
    if close:
        return f"did you mean {close[0]}?"
    return f"`gapless {verb} --help` lists its options"
