"""Secrets in what is shown and written: which texts are some, and what stands for them.

Rule 1: a variable is secret by its name, or by its value (a password in a URL, a key).
Rule 2: in other texts that is masked which is a value of a secret variable, or looks like
a password with its name.  What an app prints of its own accord in another form is not
known to be secret.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

MASK = "***"
_SECRET_WORDS = frozenset(
    """
    PASSWORD PASSWD PASSPHRASE PASS PASSCODE PWD PSW SECRET TOKEN KEY APIKEY CREDENTIAL CRED
    DSN JWT SALT PEPPER PRIVATE BEARER WEBHOOK PAT OTP SIGNATURE
    """.split()  # noqa: SIM905 - a list of words is read as one
)
"""A name is secret that has one of these as a word of it, in any number."""
_SECRET_ENDINGS = (
    *("PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "CREDENTIAL", "PWD"),
    *("APIKEY", "ACCESSKEY", "SECRETKEY", "PRIVATEKEY", "SIGNINGKEY", "MASTERKEY"),
    *("DBPASS", "SMTPPASS", "PGPASS", "MAILPASS", "USERPASS", "ADMINPASS", "ROOTPASS"),
    *("AUTHKEY", "ENCRYPTIONKEY", "ACCOUNTKEY", "LICENSEKEY", "SHAREDKEY", "DEPLOYKEY"),
)
"""Or a word that ends with one of these: PGPASSWORD.  MONKEY ends with none."""
_SECRET_LAST = frozenset(("AUTH", "BASICAUTH", "AUTHORIZATION", "CONNECTIONSTRING"))
_SECRET_PAIRS = (["CONNECTION", "STRING"], ["SECRET", "ID"])
"""Vault's VAULT_SECRET_ID is the password of its role."""
_NOT_SECRET = frozenset(("PWD", "OLDPWD", "SSH_AUTH_SOCK"))
_ABOUT = frozenset(
    """
    FILE FILENAME PATH DIR DIRECTORY FOLDER TTL SIZE LENGTH LEN COUNT LIMIT MAX MIN AGE
    TIMEOUT SECONDS MS DAYS EXPIRY EXPIRES EXPIRATION ALGORITHM ALG TYPE KIND NAME ID HEADER
    ENDPOINT HOST PORT ENABLED DISABLED REQUIRED POLICY SOCK BITS ROTATION ISSUER AUDIENCE
    PROVIDER
    """.split()  # noqa: SIM905 - a list of words is read as one
)
"""A name that ends with one of these is about a secret: TOKEN_TTL, PASSWORD_FILE."""
_PUBLIC = frozenset(("PUBLIC", "PUB", "PUBLISHABLE"))
_OF_TABLES = frozenset(("key", "keys"))
"""In a text these are far more often of a table than of a lock."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# Each begins where a word does: a search at every letter of a long word takes its square.
# A password with /, ? or # in it makes no URL (RFC 3986), and is written so all the same.
_URL_PASSWORD = re.compile(
    r"(?i)(?<![\w+.-])([a-z][a-z0-9+.-]*://[^\s/?#:@]*):"
    r"(?:[^\s/?#]+|(?!\d{1,5}[/?#])[^\s\"'<>@]{1,200})@"
)
_URL_TOKEN = re.compile(r"(?i)(?<![\w+.-])([a-z][a-z0-9+.-]*://)[\w.-]{20,}@")
_PAIR = re.compile(
    r"""(?<![\w.-])-{0,2}(?P<name>[A-Za-z_][\w.-]*)(?P<sign>["']?\s?=\s?|["']\s?:\s?)"""
    r"""(?P<value>"[^"]*"|'[^']*'|[^\s;,&"')\]}]+)"""
)
_SPACED = re.compile(
    r"(?P<option>(?<!\S)--?(?P<name>[A-Za-z][\w-]*))(?P<gap>\s+)(?P<value>[^\s-]\S*)"
)
_SCHEME = re.compile(r"(?i)\b(bearer|basic)(\s+)[\w.~+/=-]{8,}")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*-----|\Z)", re.DOTALL
)
_LEAST = 6
"""Shorter values are not looked for in texts: they stand in too many words."""
_LEAST_OF_FILES = 8
_MOST_REMEMBERED = 80
"""Longer names come from texts of apps: what they say takes no memory for good."""
_VARIABLES = ("environment", "env")


def is_secret_name(name: str) -> bool:
    """Return whether a variable, an option or a key of that name has a secret."""
    return _remembered(name) if len(name) <= _MOST_REMEMBERED else _is_secret(name)


def _is_secret(name: str) -> bool:
    if name.upper() in _NOT_SECRET:
        return False
    words = [each.upper() for each in _WORD.findall(name) if not each.isdigit()]
    if words[-2:] in _SECRET_PAIRS:
        return True
    if not words or words[-1] in _ABOUT or _PUBLIC & set(words):
        return False
    if words[-1] in _SECRET_LAST:
        return True
    singular = [each.removesuffix("S") if each != "PASS" else each for each in words]
    return any(
        word in _SECRET_WORDS or word.endswith(_SECRET_ENDINGS)
        for word in (*words, *singular)
    )


_remembered = functools.lru_cache(512)(_is_secret)
"""The supervisor asks again for the same few names with each event that it logs."""


def masked_variable(name: str, value: str) -> str:
    """Return a value as it may be shown: of a URL, only the password is masked."""
    within = in_text(value)
    if not is_secret_name(name) or not value:
        return within
    is_place = name.upper().endswith(("DSN", "URL", "URI")) and within != value
    return within if is_place else MASK


def masked(variables: Mapping[str, str]) -> dict[str, str]:
    """Return variables as they may be shown."""
    return {name: masked_variable(name, value) for name, value in variables.items()}


def values_of(
    variables: Mapping[str, str], of_files: Mapping[str, str] | None = None
) -> frozenset[str]:
    """Return what is to be masked in texts: the values of secret variables.

    Of variables from environment files (*of_files*) these are all values but words and
    numbers: whoever puts them into a file of their own means them to be secret.
    """
    found = {
        value
        for name, value in variables.items()
        if is_secret_name(name) and len(value) >= _LEAST
    }
    for name, value in (of_files or {}).items():
        is_plain = value.isdigit() or (value.isalpha() and value.islower())
        least = _LEAST if is_secret_name(name) else _LEAST_OF_FILES
        if len(value) >= least and (is_secret_name(name) or not is_plain):
            found.add(value)
    # A log has the lines of a key one by one.
    lines = {line for value in found for line in value.split("\n")[1:]}
    return frozenset(found | {line for line in lines if len(line) >= _LEAST_OF_FILES})


def in_text(text: str, values: Collection[str] = ()) -> str:
    """Return a text in which known values, and what looks like a password, are masked."""
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, MASK)
    if "://" in text:
        text = _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
        text = _URL_TOKEN.sub(rf"\1{MASK}@", text)
    if "PRIVATE KEY" in text:
        text = _PRIVATE_KEY.sub(MASK, text)
    if "=" in text or ":" in text:
        text = _PAIR.sub(_masked_pair, text)
    if "-" in text:
        text = _SPACED.sub(_masked_option, text)
    return _SCHEME.sub(rf"\1\2{MASK}", text) if "b" in text or "B" in text else text


def _masked_pair(found: re.Match[str]) -> str:
    # Pwd=... of a database is none of the working directories that are called so.
    is_place = found["value"].lstrip("'\"").startswith(("/", "~", "$"))
    is_password = found["name"].upper() == "PWD" and not is_place
    is_secret = is_secret_name(found["name"]) or is_password
    before = found[0][: found.start("value") - found.start()]
    if is_secret and found["name"] not in _OF_TABLES:
        return f"{before}{MASK}"
    value = found["value"]
    if value[0] in "\"'":  # a command in a text: "start": "node a.js --password=..."
        value = f"{value[0]}{_PAIR.sub(_masked_pair, value[1:-1])}{value[-1]}"
    return f"{before}{value}"


def _masked_option(found: re.Match[str]) -> str:
    if not is_secret_name(found["name"]):
        return found[0]
    return f"{found['option']}{found['gap']}{MASK}"


def shown(value: Any, values: Collection[str] = ()) -> Any:
    """Return JSON-able data as it may be shown.

    What is called `environment` or `env` in it are variables; their secret values, and
    those in *values*, are masked in all of its texts.
    """
    return _shown(value, frozenset(values).union(*map(values_of, _variables_in(value))))


def _variables_in(value: Any) -> Iterator[dict[str, str]]:
    """Yield each table of variables in data."""
    if isinstance(value, list | tuple):
        for each in value:
            yield from _variables_in(each)
    if isinstance(value, dict):
        for name, each in value.items():
            if name in _VARIABLES and isinstance(each, dict):
                yield {str(key): str(text) for key, text in each.items()}
            else:
                yield from _variables_in(each)


def _shown(value: Any, values: Collection[str]) -> Any:
    if isinstance(value, str):
        return in_text(value, values)
    if isinstance(value, dict):
        return {
            name: masked({str(key): str(text) for key, text in each.items()})
            if name in _VARIABLES and isinstance(each, dict)
            else _shown(each, values)
            for name, each in value.items()
        }
    if isinstance(value, list | tuple):
        return _shown_list(value, values)
    return value


def _shown_list(value: Collection[Any], values: Collection[str]) -> list[Any]:
    """Return a list, in which the word after an option that names a secret is masked."""
    found: list[Any] = []
    is_next = False
    for each in value:
        is_text = isinstance(each, str)
        is_value = is_next and is_text and not each.startswith("-")
        found.append(MASK if is_value else _shown(each, values))
        is_next = is_text and each.startswith("-") and is_secret_name(each)
    return found
