"""The completion of bash.  Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from gapless.cli.shells.words import Argument, Value, Verb

_HEAD = """\
# The completion of gapless for bash: source <(gapless completion bash)
# Words that are listed have their meaning beside them; names of apps are live.

_gapless_words() {  # each line of standard input is a word, a tab, and what it does
  local word=$1 line
  local -a found=() lines=()
  while IFS= read -r line; do
    case ${line%%$'\\t'*} in "$word"*) lines+=("$line") ;; esac
  done
  for line in "${lines[@]}"; do
    local name=${line%%$'\\t'*} does=
    case $line in *$'\\t'*) does=${line#*$'\\t'} ;; esac
    # Readline asks for a list (63) when the first try has left several.
    if [ "${COMP_TYPE:-9}" = 63 ] && [ "${#lines[@]}" -gt 1 ] && [ -n "$does" ]; then
      found+=("$name  ($does)")
    else
      case $name in *\\ *) name=$(printf %q "$name") ;; esac
      found+=("$name")
    fi
  done
  COMPREPLY+=("${found[@]}")
}

_gapless_apps() {
  _gapless_words "$1" < <(
    gapless completion --apps 2>/dev/null
    printf 'all\\tevery app\\n'
  )
}

_gapless_files() {
  local IFS=$'\\n'
  compopt -o filenames 2>/dev/null
  COMPREPLY+=($(compgen "$2" -- "$1"))
}

_gapless() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
  local verb=${COMP_WORDS[1]}
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    _gapless_words "$word" <<'WORDS'
"""
_TAIL = """\
  esac
}
complete -F _gapless gapless
"""


def script(verbs: Sequence[Verb]) -> str:
    """Return the script."""
    lines = [f"{each.name}\t{each.does}" for each in verbs]
    lines += [
        f"{alias}\t{each.name}"
        for each in verbs
        for alias in each.aliases
        if len(alias) > 1
    ]
    text = _HEAD + "\n".join(lines) + "\nWORDS\n    return\n  fi\n"
    text += "  case $verb in\n"
    for verb in verbs:
        names = " | ".join((verb.name, *verb.aliases))
        text += f"    {names})\n" + _of(verb) + "      ;;\n"
    return text + _TAIL


def _of(verb: Verb) -> str:
    """Return what completes the words after a verb."""
    text = ""
    valued = [each for each in verb.options if each.value is not Value.NONE]
    if valued:
        text += "      case $before in\n"
        for each in valued:
            spelled = " | ".join(each.spellings)
            text += f"        {spelled}) {_values([each])}return ;;\n"
        text += "      esac\n"
    text += "      case $word in\n        -*)\n"
    text += """          _gapless_words "$word" <<'WORDS'\n"""
    for each in verb.options:
        for spelling in each.spellings:
            text += f"{spelling}\t{_short(each.does)}\n"
    text += "WORDS\n          return ;;\n      esac\n"
    return text + f"      {_values(verb.places) or ':'}\n"


def _values(arguments: Iterable[Argument]) -> str:
    """Return the commands that complete the values of arguments."""
    found: list[str] = []
    for each in arguments:
        if each.value is Value.CHOICE:
            words = " ".join(shlex.quote(word) for word in each.choices)
            found.append(f'_gapless_words "$word" < <(printf "%s\\n" {words}); ')
        if each.value in (Value.APP, Value.TARGET):
            found.append('_gapless_apps "$word"; ')
        if each.value in (Value.FILE, Value.TARGET):
            found.append('_gapless_files "$word" -f; ')
        if each.value is Value.DIRECTORY:
            found.append('_gapless_files "$word" -d; ')
    return "".join(dict.fromkeys(found))


def _short(does: str) -> str:
    """Return what an option does without what follows a semicolon."""
    return does.partition(";")[0].replace("\t", " ")
