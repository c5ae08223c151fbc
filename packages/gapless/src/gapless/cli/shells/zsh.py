"""The completion of zsh.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gapless.cli.shells.words import Argument, Value, Verb

_HEAD = """\
#compdef gapless
# The completion of gapless for zsh: source <(gapless completion zsh), or a file _gapless in
# $fpath.  Names of apps are live.

_gapless_apps() {
  local -a apps
  local line
  for line in "${(@f)$(gapless completion --apps 2>/dev/null)}"; do
    [[ -n $line ]] && apps+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}")
  done
  apps+=('all:every app')
  _describe -t apps app apps
}

_gapless_targets() {
  _gapless_apps
  _files
}

_gapless() {
  local -a verbs
  verbs=(
"""
_TAIL = """\
  esac
}
if [ "$funcstack[1]" = _gapless ]; then _gapless "$@"; else compdef _gapless gapless; fi
"""
_ACTIONS = {
    Value.APP: "_gapless_apps",
    Value.TARGET: "_gapless_targets",
    Value.FILE: "_files",
    Value.DIRECTORY: "_files -/",
    Value.WORD: "",
}


def script(verbs: Sequence[Verb]) -> str:
    """Return the script."""
    text = _HEAD
    for verb in verbs:
        text += f"    {_quoted(f'{verb.name}:{verb.does}')}\n"
    text += """\
  )
  if (( CURRENT == 2 )); then
    _describe -t verbs verb verbs
    return
  fi
  shift words
  (( CURRENT-- ))
  case $words[1] in
"""
    for verb in verbs:
        names = " | ".join((verb.name, *verb.aliases))
        specs = [_spec(each) for each in verb.arguments]
        text += f"    {names})\n      _arguments -S"
        text += "".join(f" \\\n        {each}" for each in specs) + "\n      ;;\n"
    return text + _TAIL


def _spec(argument: Argument) -> str:
    """Return an argument as _arguments has it."""
    if argument.value is Value.CHOICE:
        action = f"({' '.join(argument.choices)})"
    else:
        action = _ACTIONS.get(argument.value, "")
    value = f":{_escaped(argument.name)}:{action}"
    if not argument.spellings:
        many = "*" if argument.is_repeated else ""
        place = "::" if argument.is_optional and not many else ":"
        return _quoted(f"{many}{place}{_escaped(argument.name)}:{action}")
    does = f"[{_escaped(argument.does.partition(';')[0])}]"
    if argument.value is Value.NONE:
        value = ""
    if len(argument.spellings) == 1:
        return _quoted(f"{argument.spellings[0]}{does}{value}")
    either = _quoted(f"({' '.join(argument.spellings)})")
    return f"{either}{{{','.join(argument.spellings)}}}{_quoted(does + value)}"


def _escaped(text: str) -> str:
    """Return a text without what _arguments takes for its own."""
    for each in "\\[]:":
        text = text.replace(each, f"\\{each}")
    return text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
