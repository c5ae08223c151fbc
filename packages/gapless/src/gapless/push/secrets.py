"""Which files of a directory look like secrets, by name or by what they hold.  Pure.

Rule 1: a private key is found by its text, whatever its file is called.
Rule 2: a file that shows how to write one is none: `.env.example`, `key.pem.sample`.
Rule 3: whoever means to push a file names it, without wildcards, in a line `!NAME` of
.gaplessignore: this file is then no surprise to anybody who reads that.
"""

from __future__ import annotations

import os
import re

HEAD_BYTES = 65536
"""So much of each file is looked at."""
_SHOWS_HOW = re.compile(
    r"(?:^|[._-])(?:example|examples|sample|template|tmpl|tpl|dist|schema|defaults?)"
    r"(?=[._-]|$)",
    re.IGNORECASE,
)
_IS_SAMPLE = re.compile(r".+\.(?:example|sample|template|tmpl|tpl|dist)", re.IGNORECASE)
"""Of a private key only the last ending says so: a host may be called www.example.com."""
_BY_NAME = (
    (re.compile(r"\.env(?:\..+|rc)?|.+\.env"), "variables of an environment"),
    (re.compile(r"\.pypirc|\.dockercfg|\.git-credentials"), "a login"),
    (re.compile(r"[._]netrc|\.pgpass|\.my\.cnf|\.htpasswd|\.vault-token"), "a login"),
    (re.compile(r"id_(?:rsa|dsa|ecdsa|ed25519|xmss)(?!.*\.pub$).*"), "a key of ssh"),
    (re.compile(r".+\.(?:kdbx?|p12|pfx|jks|keystore|ppk|agekey)"), "a store of keys"),
    (re.compile(r"master\.key"), "a key"),
    (re.compile(r".+\.tfstate(?:\.backup)?"), "the state of Terraform"),
)
_FOLDERS = {
    ".ssh": "keys of ssh",
    ".aws": "a login",
    ".azure": "a login",
    ".kube": "a login",
    ".gnupg": "keys",
    ".password-store": "passwords",
    ".docker/config.json": "a login",
    ".config/gcloud": "a login",
}
_PRIVATE_KEY = re.compile(
    rb"^-----BEGIN (?:[A-Z0-9]+ ){0,2}PRIVATE KEY(?: BLOCK)?-----[ \t]*\r?\n"
    rb"(?:[A-Za-z0-9+/=]{16,}|[A-Za-z-]+: |\r?\n)",
    re.MULTILINE,
)
_PUTTY_KEY = re.compile(rb"\APuTTY-User-Key-File-\d")
_AGE_KEY = re.compile(rb"^AGE-SECRET-KEY-1[A-Z0-9]{20,}", re.MULTILINE)
_KEY_IN_JSON = re.compile(rb'"private_key"\s*:\s*"-----BEGIN ')
_TOKEN_OF_NPM = re.compile(
    rb"^[^#;\n]*(?:_authToken|_auth|_password|npmAuthToken|npmAuthIdent)"
    rb"""["']?\s*[=:]\s*["']?(?!\$\{)[^\s"'$]""",
    re.MULTILINE,
)
_IN_GIT_URL = re.compile(rb"^\s*url\s*=\s*https?://[^/\s:@]+:[^/\s@]+@", re.MULTILINE)


def reason_by_name(path: str) -> str:
    """Return what a file is by its path below the top, if that is a secret, else ""."""
    name = os.path.basename(path)
    if _SHOWS_HOW.search(name):
        return ""
    below = f"/{path}/".lower()
    for folder, what in _FOLDERS.items():
        if f"/{folder}/" in below and not name.endswith(".pub"):
            return what
    return next((what for names, what in _BY_NAME if names.fullmatch(name.lower())), "")


def reason_by_content(path: str, head: bytes) -> str:
    """Return what a file is by its first bytes, if that is a secret, else ""."""
    name = os.path.basename(path).lower()
    if name in (".npmrc", ".yarnrc", ".yarnrc.yml") and _TOKEN_OF_NPM.search(head):
        return "a token of npm"
    if f"/{path}".endswith("/.git/config") and _IN_GIT_URL.search(head):
        return "a login"
    if _IS_SAMPLE.fullmatch(name):
        return ""
    if _PRIVATE_KEY.search(head) or _PUTTY_KEY.search(head) or _AGE_KEY.search(head):
        return "a private key"
    if _KEY_IN_JSON.search(head):
        return "a key of a service account"
    return ""
