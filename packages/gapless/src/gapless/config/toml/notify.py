"""From the [notify.NAME] tables to those who are told what happens."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gapless.base import paths
from gapless.base.errors import MisuseError
from gapless.base.names import is_app_name
from gapless.base.outside import secret_files
from gapless.config.toml.document import Document, Keys, decode, read
from gapless.config.toml.notify_schema import Notify

_PRIVATE = "its owner alone, or with its group, may read it: chmod 600"
_ADDRESS = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{0,63}@[A-Za-z0-9.-]{1,253}"
)
_LOCAL = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")
CHOICES = ("done", "failed", "reverted", "cut", "gave-up", "restarts", "held", "disk")
"""Of what people can be told; `gapless.notify.model` says what each is."""
LONGEST_URL = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A checked [notify.NAME]; one of `url`, `words` and `mail` is given."""

    name: str
    table: Notify
    url: str = ""
    token: str = ""
    words: tuple[str, ...] = ()
    mail: tuple[str, ...] = ()


def load(path: str) -> dict[str, Declared]:
    """Return those who are told, by name, with their secrets.

    Raises MisuseError that names every mistake, NotFoundError.
    """
    document = read(Path(path))
    tables = document.tables.get("notify", {})
    if not isinstance(tables, dict):
        problem = "write it as [notify.NAME]"
        raise MisuseError(document.message_for(("notify",), problem))
    mistakes: list[str] = []
    found = {}
    for name in tables:
        try:
            found[name] = build(document, name)
        except MisuseError as error:
            mistakes.append(error.message)
    if mistakes:
        raise MisuseError("\n".join(mistakes))
    return found


def build(document: Document, name: str, *, with_secrets: bool = True) -> Declared:
    """Return one of them.  Without secrets no other file is read.  Raises MisuseError."""
    keys = ("notify", name)
    if not is_app_name(name):
        raise MisuseError(document.message_for(keys, "this cannot be a name"))
    if not isinstance(document.tables["notify"][name], dict):
        raise MisuseError(document.message_for(keys, "write it as [notify.NAME]"))
    table: Notify = decode(document, keys, Notify)
    ways = {
        "webhook": table.webhook or table.webhook_file,
        "command": table.command,
        "mail": table.mail,
    }
    if sum(map(bool, ways.values())) != 1 or (table.webhook and table.webhook_file):
        problem = "write one of webhook, webhook_file, command and mail"
        raise MisuseError(document.message_for(keys, problem))
    for each in table.on or ():
        if each not in CHOICES:
            problem = f"there is no {each[:40]!a}; known: {', '.join(CHOICES)}"
            raise MisuseError(document.message_for((*keys, "on"), problem))
    for each in table.apps:
        if not is_app_name(each):
            problem = f"{each!r} is no name of an app"
            raise MisuseError(document.message_for((*keys, "apps"), problem))
    if ways["webhook"]:
        return _webhook(document, keys, table, with_secrets=with_secrets)
    if table.command:
        words = tuple(document.words((*keys, "command"), table.command))
        if not words or not words[0]:
            problem = "the command is empty"
            raise MisuseError(document.message_for((*keys, "command"), problem))
        return Declared(name=name, table=table, words=words)
    return _mail(document, keys, table)


def _webhook(
    document: Document, keys: Keys, table: Notify, *, with_secrets: bool
) -> Declared:
    url, token = table.webhook, ""
    key = "webhook"
    if table.webhook_file:
        key = "webhook_file"
        if not with_secrets:
            return Declared(name=keys[-1], table=table)
        url = _secret(document, (*keys, key), table.webhook_file)
    if table.token_file and with_secrets:
        token = _secret(document, (*keys, "token_file"), table.token_file)
        if not _TOKEN.fullmatch(token):
            problem = "a token is one line of ASCII without a space"
            raise MisuseError(document.message_for((*keys, "token_file"), problem))
    _check_url(document, (*keys, key), url, table)
    return Declared(name=keys[-1], table=table, url=url, token=token)


def _check_url(document: Document, keys: Keys, url: str, table: Notify) -> None:
    """Refuse what is no URL of a webhook, or would be read on its way.

    The URL is in no message: it may be the secret itself.  Raises MisuseError.
    """

    def refuse(problem: str, hint: str = "") -> MisuseError:
        return MisuseError(document.message_for(keys, problem), hint=hint)

    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise refuse("this is no URL: write https://HOST/PATH") from None
    is_plain = url.isascii() and url.isprintable() and " " not in url
    known = parts.scheme in ("http", "https") and host and port != 0
    if not (is_plain and known) or len(url) > LONGEST_URL:
        raise refuse("this is no URL of a webhook: write https://HOST/PATH")
    if "@" in parts.netloc:
        raise refuse("a password in a URL is shown by others: write token_file")
    if parts.fragment:
        raise refuse("what follows # is not sent: leave it out")
    if parts.scheme == "http" and not (table.insecure or _is_loopback(host)):
        raise refuse(
            "the event, and what is secret in the URL, would travel unencrypted",
            "https://; or insecure = true where nobody else is on the network",
        )


def _mail(document: Document, keys: Keys, table: Notify) -> Declared:
    to = (table.mail,) if isinstance(table.mail, str) else table.mail
    for key, each in (*(("mail", each) for each in to), ("mail_from", table.mail_from)):
        is_known = _ADDRESS.fullmatch(each) or _LOCAL.fullmatch(each)
        if each and not is_known:
            problem = f"{each[:80]!a} is no address of a mail"
            raise MisuseError(document.message_for((*keys, key), problem))
    if not os.path.isabs(table.sendmail):
        problem = f"{table.sendmail!a} is not an absolute path"
        raise MisuseError(document.message_for((*keys, "sendmail"), problem))
    return Declared(name=keys[-1], table=table, mail=to)


def _secret(document: Document, keys: Keys, path: str) -> str:
    """Return the one line of a file that others may not read.  Raises MisuseError."""
    folder = os.path.dirname(paths.absolute(str(document.path)))
    try:
        content = secret_files.read(os.path.join(folder, path))
        return content.decode("ascii").strip()
    except UnicodeDecodeError as error:
        problem = f"{path}: it is not ASCII"
        raise MisuseError(document.message_for(keys, problem)) from error
    except OSError as error:
        problem = f"{error.filename}: {error.strerror}"
        raise MisuseError(document.message_for(keys, problem), hint=_PRIVATE) from error


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
