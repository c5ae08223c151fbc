"""Print the completion script of a shell: `source <(gapless completion bash)`."""

from __future__ import annotations

import argparse

from gapless.base.errors import DONE
from gapless.cli.verbs import ALIASES, PACKAGES

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

DATA = True
"""What it prints is the content of a file, or a value: a pipe gets it unchanged."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `completion`."""
    parser.add_argument(
        "shell",
        nargs="?",
        choices=list(SCRIPTS),
        default="bash",
        help="default: bash",
    )
    parser.add_argument(
        "--apps", action="store_true", help="print the names of the apps, no script"
    )


def run(args: argparse.Namespace) -> int:
    """Print a script, or the names of apps that a script completes."""
    if args.apps:
        from gapless.client import Client  # noqa: PLC0415 - the script itself needs none

        client = Client()
        if client.is_running():
            print(
                " ".join(
                    row["name"] for row in client.request("list", only="names")["apps"]
                )
            )
        return DONE
    verbs = " ".join([*PACKAGES, *(alias for alias in ALIASES if len(alias) > 1)])
    print(SCRIPTS[args.shell].replace("@VERBS@", verbs), end="")
    return DONE
