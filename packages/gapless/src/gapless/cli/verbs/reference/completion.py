"""Print the completion script of a shell.

In ~/.bashrc: source <(gapless completion bash). In ~/.zshrc, after compinit:
source <(gapless completion zsh). For fish:
gapless completion fish > ~/.config/fish/completions/gapless.fish.
"""

from __future__ import annotations

import argparse
import os
import signal

from gapless.base.errors import DONE

SHELLS = ("bash", "zsh", "fish")
LONGEST_S = 1.0
"""How long a shell is kept waiting for names."""
DATA = True
"""What it prints is the content of a file, or a value: a pipe gets it unchanged."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `completion`."""
    parser.add_argument(
        "shell",
        nargs="?",
        choices=SHELLS,
        default="bash",
        help="default: bash",
    )
    parser.add_argument(
        "--apps",
        action="store_true",
        help="print the names of the apps and their statuses, no script",
    )


def run(args: argparse.Namespace) -> int:
    """Print a script, or the names of apps that a script completes."""
    if args.apps:
        for name, status in _apps():
            print(f"{name}\t{status}")
        return DONE
    from gapless.cli.shells import bash, fish, zsh  # noqa: PLC0415 - not for names
    from gapless.cli.verbs import catalogue  # noqa: PLC0415 - it imports every verb

    script = {"bash": bash.script, "zsh": zsh.script, "fish": fish.script}[args.shell]
    print(script(catalogue.verbs()), end="")
    return DONE


def _apps() -> list[tuple[str, str]]:
    """Return the names of the apps and their statuses; starts nothing.

    A shell waits for this: a supervisor that hangs has no names.
    """
    signal.signal(signal.SIGALRM, lambda *_: os._exit(DONE))
    signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
    from gapless.client import Client  # noqa: PLC0415 - the script itself needs none

    client = Client(starts=False)
    if not client.is_running():
        return []
    rows = client.request("list", only="names")["apps"]
    return [(row["name"], row["status"]) for row in rows]
