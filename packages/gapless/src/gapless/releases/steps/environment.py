"""The environment of builds and hooks: little of the publisher's, and what is named.

What an upload says runs there, and what the publisher has in its environment (tokens of a
pipeline, passwords) is not for whoever may upload.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gapless.base.names import LOGIN_VARIABLES
from gapless.releases.model import ReleaseSpec

PASSED = ("PATH", "LANG", "LANGUAGE", "TZ")
"""Besides `LC_*`, and HOME, USER, LOGNAME and SHELL of the user that runs the command."""
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS")
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
"""In lower and upper case; without them a host behind a proxy can build nothing."""
OF_THE_PUBLISHER = ("TMPDIR", "GAPLESS_HOME")
"""Directories that another user may have no right to."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSWORD = re.compile(r"[^/@]*:[^/@]+@")
"""In a URL without its scheme, or in one that has none."""


def of(
    spec: ReleaseSpec,
    publisher: Mapping[str, str],
    variables: Mapping[str, str],
    *,
    is_other_user: bool,
) -> dict[str, str]:
    """Return the environment of a command of a release.

    *publisher* is the environment of this process, unless the spec holds another.  HOME,
    USER, LOGNAME and SHELL of another user are added when it is known (`keeper/identity`).
    """
    there = spec.environment or publisher
    wanted = {*PASSED, *CERTIFICATES}
    if not is_other_user:
        wanted |= {*LOGIN_VARIABLES, *OF_THE_PUBLISHER}
    found = {"PATH": _PATH} | {
        name: value
        for name, value in there.items()
        if name in wanted or name.startswith("LC_") or _is_plain_proxy(name, value)
    }
    for name, value in spec.build_environment.items():
        if value is not None:
            found[name] = value
        elif name in there:
            found[name] = there[name]
    if not spec.build_scripts:
        found |= {"npm_config_ignore_scripts": "true", "YARN_ENABLE_SCRIPTS": "false"}
    return {**found, **variables}


def left_out(spec: ReleaseSpec, publisher: Mapping[str, str]) -> str:
    """Return a line for the log that names proxies that were not passed, or nothing."""
    there = spec.environment or publisher
    names = [
        name
        for name, value in there.items()
        if _is_proxy(name)
        and not _is_plain_proxy(name, value)
        and name not in spec.build_environment
    ]
    if not names:
        return ""
    return (
        f"({', '.join(sorted(names))} not passed, for the password in it: "
        "name it in build_environment)\n"
    )


def _is_proxy(name: str) -> bool:
    return name.lower() in PROXIES


def _is_plain_proxy(name: str, value: str) -> bool:
    """Return whether a variable names a proxy and has no password in it."""
    return _is_proxy(name) and not _PASSWORD.match(value.rpartition("://")[2])
