"""What is served, where and to whom: from the variables that PM2 has for it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gapless.config.site import (
    AUTHENTICATION,
    DEFAULT_PORT,
    HOMEPAGE,
    HOST,
    LISTING,
    PASSWORD,
    PATH,
    PORT,
    SPA,
    USERNAME,
)

DEFAULT_HOST = "0.0.0.0"  # noqa: S104 - as PM2; PM2_SERVE_HOST says otherwise
DEFAULT_HOMEPAGE = "index.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one site."""

    directory: str
    """Absolute, without links: what a link names later is for the next generation."""
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    homepage: str = DEFAULT_HOMEPAGE
    """What / is, relative to the directory."""
    is_one_page: bool = False
    """A path that names nothing is answered with the homepage."""
    credentials: tuple[str, str] | None = None
    """Who may read, as name and password; None: everybody."""


def read(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Return the settings that variables describe; *arguments* may be a path and a port.

    Raises ValueError with a message.
    """
    words = dict(enumerate(arguments))
    path = words.get(0) or environment.get(PATH) or "."
    directory = os.path.realpath(path)
    if not os.path.isdir(directory):
        raise ValueError(f"there is no directory {os.path.abspath(path)} to serve")
    if environment.get(LISTING) == "true":
        raise ValueError(f"{LISTING}: directories are not listed; unset it")
    return Settings(
        directory=directory,
        host=environment.get(HOST) or DEFAULT_HOST,
        port=port(environment.get(PORT) or words.get(1) or str(DEFAULT_PORT)),
        homepage=(environment.get(HOMEPAGE) or DEFAULT_HOMEPAGE).lstrip("/"),
        is_one_page=environment.get(SPA) == "true",
        credentials=_credentials(environment),
    )


def port(text: str) -> int:
    """Return the port that a text says.  Raises ValueError."""
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 1 << 16):
        raise ValueError(f"{text!r} is no port: a number from 1 to 65535")
    return int(text)


def _credentials(environment: Mapping[str, str]) -> tuple[str, str] | None:
    name, password = environment.get(USERNAME, ""), environment.get(PASSWORD, "")
    wanted = environment.get(AUTHENTICATION, "") not in ("", "false")
    if not (wanted or name or password):
        return None
    # What asks for a password and has none must not be open to everybody.
    if not (name and password):
        raise ValueError(f"a name and a password are needed: {USERNAME}, {PASSWORD}")
    if ":" in name:
        raise ValueError(f"{USERNAME}: a name has no colon in it (RFC 7617)")
    return name, password
