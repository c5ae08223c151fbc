"""Start an app that serves the static files of a directory, and is handed over as any.

Needs `pip install 'gapless[serve]'`.  Hidden files are not served, nor what links lead to
outside of the directory.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

from gapless.base import paths
from gapless.base.errors import MisuseError, NotFoundError
from gapless.cli import app_requests, arguments, operations
from gapless.client import Client
from gapless.config import site
from gapless.config.choice import inherited
from gapless.config.script import load_script


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `serve`."""
    parser.add_argument(
        "directory", metavar="DIR", nargs="?", default="", help="default: this one"
    )
    parser.add_argument(
        "port", metavar="PORT", nargs="?", default="", help="default: 8080"
    )
    parser.add_argument("-n", "--name", default="", help="the name of the app")
    parser.add_argument("--host", default="", help="default: every address")
    parser.add_argument(
        "--spa",
        action="store_true",
        help="answer with index.html where there is no file",
    )
    parser.add_argument(
        "--basic-auth-username",
        dest="username",
        default="",
        metavar="NAME",
        help=f"who may read; the password stands in the variable {site.PASSWORD}",
    )
    arguments.add_json(parser)
    parser.set_defaults(password="", like_pm2=False)


def run(args: argparse.Namespace) -> int:
    """Start the app."""
    surroundings = inherited(os.environ)
    declared = {"script": site.SCRIPT, **_declared(args, surroundings)}
    client = Client()
    loaded = load_script(declared, surroundings, like_pm2=args.like_pm2)
    app_requests.check_new(client, loaded.apps)
    app_requests.print_warnings(loaded.warnings)
    wanted = [app_requests.first_start(each) for each in loaded.apps.values()]
    code = operations.send_all(client, wanted, as_json=args.json)
    if not code and not args.json:
        host = args.host or surroundings.get(site.HOST) or "0.0.0.0"  # noqa: S104 - shown
        print(f"serving {declared['cwd']} on {host}:{declared['env'][site.PORT]}")
    return code


def _declared(args: argparse.Namespace, said: dict[str, str]) -> dict[str, Any]:
    """Return the fields of the app; variables take precedence over words, as in PM2."""
    directory = os.path.join(
        paths.working_directory(), said.get(site.PATH) or args.directory
    )
    directory = os.path.normpath(directory)
    if not os.path.isdir(directory):
        raise NotFoundError(f"there is no directory {directory} to serve")
    port = said.get(site.PORT) or args.port or str(site.DEFAULT_PORT)
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 1 << 16):
        raise MisuseError(f"{port!r} is no port: a number from 1 to 65535")
    # Relative, so that each generation serves what the directory's link names then.
    found: dict[str, object] = {"path": ".", "port": port}
    if args.host:
        found["host"] = args.host
    if args.spa:
        found["spa"] = True
    username = args.username or said.get(site.USERNAME, "")
    password = args.password or said.get(site.PASSWORD, "")
    if bool(username) != bool(password):
        raise MisuseError(
            "a name and a password are needed, to ask for them",
            hint=f"{site.PASSWORD}=... gapless serve {args.directory or '.'} {port} "
            f"--basic-auth-username {username or 'NAME'}",
        )
    if username:
        found["basic_auth"] = {"username": username, "password": password}
    name = args.name or site.default_name(port)
    return {"name": name, "cwd": directory, "env": site.variables(found)}
