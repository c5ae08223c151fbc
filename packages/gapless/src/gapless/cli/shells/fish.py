"""The completion of fish.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gapless.cli.shells.words import Argument, Value, Verb

_HEAD = """\
# The completion of gapless for fish: gapless completion fish | source
# Names of apps are live.

function __gapless_apps
    gapless completion --apps 2>/dev/null
    printf 'all\\tevery app\\n'
end

function __gapless_verb
    set -l words (commandline -opc)
    test (count $words) -ge 2; and contains -- $words[2] $argv
end

complete -c gapless -f
"""
_VALUES = {
    Value.APP: "-x -a '(__gapless_apps)'",
    Value.TARGET: "-r -F -a '(__gapless_apps)'",
    Value.FILE: "-r -F",
    Value.DIRECTORY: "-x -a '(__fish_complete_directories)'",
    Value.WORD: "-x",
    Value.NONE: "",
}
_PLACES = {
    Value.APP: "-a '(__gapless_apps)'",
    Value.TARGET: "-F -a '(__gapless_apps)'",
    Value.FILE: "-F",
    Value.DIRECTORY: "-a '(__fish_complete_directories)'",
}
"""The same of a word without a dash, which is a value itself."""


def script(verbs: Sequence[Verb]) -> str:
    """Return the script."""
    text = _HEAD
    for verb in verbs:
        text += (
            f"complete -c gapless -n 'test (count (commandline -opc)) -eq 1' "
            f"-a {verb.name} -d {_quoted(verb.does)}\n"
        )
    for verb in verbs:
        names = " ".join((verb.name, *verb.aliases))
        begin = f"complete -c gapless -n '__gapless_verb {names}'"
        said = [_of(argument) for argument in verb.arguments]
        text += "".join(f"{begin} {each}\n" for each in said if each)
    return text


def _of(argument: Argument) -> str:
    words = f"-a {_quoted(' '.join(argument.choices))}"
    is_choice = argument.value is Value.CHOICE
    if not argument.spellings:
        return words if is_choice else _PLACES.get(argument.value, "")
    value = f"-x {words}" if is_choice else _VALUES[argument.value]
    spelled = " ".join(
        f"-l {each[2:]}"
        if each.startswith("--")
        else f"-s {each[1:]}"
        if len(each) == 2
        else f"-o {each[1:]}"
        for each in argument.spellings
    )
    does = _quoted(argument.does.partition(";")[0])
    return f"{spelled} -d {does} {value}".rstrip()


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
