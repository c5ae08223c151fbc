"""Arguments that several verbs have, each with one wording."""

from __future__ import annotations

import argparse

_APP_WORDS = "a name, an id, a namespace, a /regular expression/, a file, - or `all`"
ROLLOUT_TIMEOUT_S = 3600.0


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json and --plain."""
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument(
        "--plain",
        action="store_true",
        help="print lines without colours, as into a file; default on no terminal",
    )


def add_show_secrets(parser: argparse.ArgumentParser) -> None:
    """Add --show-secrets."""
    parser.add_argument(
        "--show-secrets",
        action="store_true",
        help="show passwords, tokens and keys; default: *** stands for them",
    )


def add_app(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names one app."""
    parser.add_argument("app", metavar="APP", help=_APP_WORDS)


def add_apps(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names one app or more."""
    parser.add_argument("app", metavar="APP", nargs="+", help=_APP_WORDS)


def add_apps_or_all(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names apps; without it all apps are meant."""
    parser.add_argument(
        "app", metavar="APP", nargs="*", help=f"{_APP_WORDS}; default: all"
    )


def add_config(
    parser: argparse.ArgumentParser,
    *,
    table: str = "release",
    otherwise: str = ", else that of the app, if one is named and runs",
) -> None:
    """Add the file in which releases and fleets are configured; its *table* is read."""
    parser.add_argument(
        "-c",
        "--config",
        default="",
        metavar="FILE",
        help=f"the gapless.toml with [{table}.NAME]; default: ./gapless.toml{otherwise}",
    )


def add_release_app(parser: argparse.ArgumentParser) -> None:
    """Add the app to which a release belongs."""
    parser.add_argument(
        "--app",
        default="",
        metavar="NAME",
        help="the app of the release; default: by the name of the release, "
        "the only app of the configuration, or, for push, the target's name",
    )


def add_file_choice(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose among what a file declares."""
    parser.add_argument(
        "--env",
        default=None,
        metavar="NAME",
        help="set the variables of env_NAME over those of env; kept for later reloads",
    )
    parser.add_argument(
        "--only",
        default="",
        metavar="APP,...",
        help="use only these apps of a file; default: all",
    )


def add_update_env(parser: argparse.ArgumentParser) -> None:
    """Add --update-env."""
    parser.add_argument(
        "--update-env",
        action="store_true",
        help="give the apps the environment of this shell; "
        "default: the one that they were started with",
    )


def add_drops(parser: argparse.ArgumentParser) -> None:
    """Add --drop."""
    parser.add_argument(
        "--drop",
        action="append",
        default=[],
        metavar="PORT",
        help="the new generation may leave this port or HOST:PORT, on which the app "
        "listens now; may be repeated",
    )


def add_rollout_wait(parser: argparse.ArgumentParser) -> None:
    """Add whether, and for how long, a command waits for the end of a rollout."""
    parser.add_argument(
        "--no-wait",
        action="store_true",
        help="in a fleet: begin the rollout, and do not wait for its end",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=ROLLOUT_TIMEOUT_S,
        metavar="SECONDS",
        help="in a fleet: how long to wait for the end of the rollout "
        f"(default: {ROLLOUT_TIMEOUT_S:g}); the rollout goes on after that",
    )
