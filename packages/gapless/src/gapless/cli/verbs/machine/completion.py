"""Print the completion script of a shell: `source <(gapless completion bash)`."""

from __future__ import annotations

import argparse

from gapless.cli.verbs import ALIASES, ROOMS

_BASH = """\
_gapless() {
  local word=${COMP_WORDS[COMP_CWORD]}
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "@VERBS@" -- "$word"))
  else
    local apps
    apps=$(gapless completion --apps 2>/dev/null)
    COMPREPLY=($(compgen -W "all $apps" -- "$word") $(compgen -f -- "$word"))
  fi
}
complete -F _gapless gapless
"""
_ZSH = "autoload -U +X bashcompinit && bashcompinit\n" + _BASH
_FISH = """\
complete -c gapless -n __fish_use_subcommand -f -a "@VERBS@"
complete -c gapless -n "not __fish_use_subcommand" -a "all (gapless completion --apps)"
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `completion` understands."""
    parser.add_argument("shell", nargs="?", choices=list(SCRIPTS), default="bash")
    parser.add_argument("--apps", action="store_true", help="only print names of apps")


def run(asked: argparse.Namespace) -> int:
    """Print a script, or the names that it asks for."""
    if asked.apps:
        from gapless.client import Client  # noqa: PLC0415 - not for the script itself

        client = Client()
        if client.is_running():
            print(" ".join(row["name"] for row in client.request("list")["apps"]))
        return 0
    verbs = " ".join([*ROOMS, *(alias for alias in ALIASES if len(alias) > 1)])
    print(SCRIPTS[asked.shell].replace("@VERBS@", verbs), end="")
    return 0
