"""Secrets reach no terminal, report, log or argument unless they are asked for."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless.base import events
from gapless.base.outside import secrets
from gapless.cli.display import changes
from gapless.supervisor.memory import spec
from rig.hosts.host import Host
from rig.wait import free_port, until

SECRET_NAMES = """
PASSWORD DB_PASSWORD PGPASSWORD MYSQL_PWD dbPassword SECRET SECRET_KEY_BASE
CLIENT_SECRETS API_KEY APIKEY apiKey STRIPE_KEY KEY KEYS KEY1 AWS_SECRET_ACCESS_KEY
NPM_TOKEN TOKEN2 GITHUB_PAT npm_config_//registry.example/:_authToken CREDENTIALS
GOOGLE_CREDENTIAL SENTRY_DSN JWT JWT_SECRET PASSPHRASE SSH_PRIVATE_KEY SESSION_SALT
NPM_AUTH BASICAUTH DBPASS SMTPPASS VAULT_SECRET_ID
SLACK_WEBHOOK_URL AZURE_STORAGE_CONNECTION_STRING ConnectionString MASTERKEY
--db-password adminPass
""".split()  # noqa: SIM905 - a list of words is read as one
PLAIN_NAMES = """
KEYBOARD MONKEY TURKEY KEYCLOAK_HOST AUTHOR PASSENGER COMPASS BYPASS_CACHE TOKENIZER
TOKENIZERS_PARALLELISM SECRETARY PWD OLDPWD SSH_AUTH_SOCK PUBLIC_KEY PASSWORD_FILE
TOKEN_TTL KEY_PATH MAX_TOKENS_COUNT PATH HOME NODE_ENV PORT PATTERN DISPATCH SALTED
MASKED API_KEY_HEADER STRIPE_PUBLISHABLE_KEY COOKIE_NAME OATHKEEPER_HOST
""".split()  # noqa: SIM905 - a list of words is read as one
SECRET_VALUES = {
    "DATABASE_URL": (
        "postgres://me:hunter2/ss@db/x",
        "postgres://me:hunter2#ss@db/x",
        "postgres://me:p@ss@db/x",
    ),
    "REDIS": ("redis://:hunter2@cache:6379/0",),
    "REPOSITORY": ("https://ghp_0123456789abcdefghij@github.example/a",),
    "PG": ("host=db user=me password=hunter2", "host=db password='hunter 2'"),
    "ADO": ("Server=db;User=me;Password=hunter2;", "Uid=me;Pwd=hunter2;"),
    "STORAGE": ("AccountName=me;AccountKey=hunter2==;Suffix=x",),
    "QUERY": ("https://example/x?user=me&token=hunter2&a=b",),
    "JSON": ('{"user": "me", "password": "hunter2"}', "{'apiKey': 'hunter2'}"),
    "PEM": ("-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----",),
    "HEADERS": ("Authorization: Bearer hunter2hunter2",),
    "ARGUMENTS": ("--user me --api-token hunter2", "--password=hunter2 --port 1"),
}


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_name_that_means_a_secret_masks_its_value(name: str) -> None:
    """Whatever the value looks like."""
    assert secrets.masked_variable(name, "x") == secrets.MASK


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_a_name_that_only_looks_so_masks_nothing(name: str) -> None:
    """Who looks for a mistake in a configuration needs to see it."""
    assert secrets.masked_variable(name, "x") == "x"


@pytest.mark.parametrize("name", SECRET_VALUES)
def test_a_value_with_a_secret_in_it_is_masked_there(name: str) -> None:
    """By whatever name; the rest of it stays."""
    for value in SECRET_VALUES[name]:
        found = secrets.masked_variable(name, value)
        assert secrets.MASK in found
        assert not any(word in found for word in ("hunter2", "p@ss", "ghp_"))


def test_urls_and_words_without_a_secret_stay() -> None:
    """Messages are read to find out what went wrong."""
    for text in (
        "http://localhost:3000/path?a=b@c",
        "http://localhost:3000/@scope/name",
        "cd /srv; PWD=/srv OLDPWD=/",
        "git@host.example:repository",
        "postgres://me@db:5432/x",
        "KeyError: 'SECRET_KEY'",
        "MarkReady(key='web/1/0/1')",
        "error: invalid token: expired",
        "the key of the table is 1; basic auth; a=b",
        "npm run build -- --port 3000",
    ):
        assert secrets.in_text(text) == text


@given(st.text(), st.text(min_size=1))
def test_masking_takes_any_text(text: str, value: str) -> None:
    """No text makes it fail, and what is masked once stays."""
    found = secrets.in_text(text, [value])
    assert isinstance(found, str)
    secrets.is_secret_name(text)
    assert secrets.in_text(secrets.in_text(text)) == secrets.in_text(text)


def test_masking_takes_time_by_the_length_of_a_text() -> None:
    """An app may print a line that is one long word, or full of beginnings."""
    began = time.perf_counter()
    for piece in (
        "a",
        "a.",
        "-",
        "a=",
        "://a",
        "a:",
        "'",
        '"',
        "KEY=",
        "--a ",
        " ",
        "b@",
    ):
        secrets.in_text(piece * 30_000 + "://PRIVATE KEY=")
        secrets.in_text("token='" + piece * 30_000)
    assert time.perf_counter() - began < 5


def test_lines_of_a_key_are_known_one_by_one() -> None:
    """A log shows them so."""
    known = secrets.values_of({"TLS_KEY": "-----BEGIN\nabcdefghijkl\n-----END"})
    assert secrets.in_text("| abcdefghijkl", known) == "| ***"


def test_a_known_value_is_masked_wherever_it_stands() -> None:
    """In a nested list, in a command, in a line of a log."""
    found = secrets.shown(
        {
            "spec": {
                "environment": {"API_KEY": "hunter22", "A": "b"},
                "command": ["x"],
            },
            "log_tail": ["refused: hunter22", 1, None],
            "command": ["app", "--token", "short", "--url=redis://:pw@h"],
        }
    )
    assert found == {
        "spec": {"environment": {"API_KEY": "***", "A": "b"}, "command": ["x"]},
        "log_tail": ["refused: ***", 1, None],
        "command": ["app", "--token", "***", "--url=redis://:***@h"],
    }


def test_values_of_environment_files_are_known_by_any_name() -> None:
    """Whoever has a file for them means them to be secret; plain words are none."""
    own = {
        "STRIPE": "sk-live-1",
        "NODE_ENV": "production",
        "PORT": "12345678",
        "A": "b",
    }
    assert secrets.values_of({}, own) == {"sk-live-1"}


def test_the_log_of_gapless_masks_what_it_is_told(tmp_path: Path) -> None:
    """A reason may hold the URL that an app could not reach."""
    log = events.Log(str(tmp_path / "log"))
    log.write(
        "failed",
        reason="no answer of redis://:hunter2@h",
        more=[{"env": {"KEY": "k1"}}],
    )
    text = (tmp_path / "log").read_text()
    assert "hunter2" not in text
    assert "k1" not in text


def test_changes_of_a_configuration_show_no_secret() -> None:
    """`reload --dry-run` prints them."""
    one = spec.AppSpec(name="a", command=("app", "--token=hunter2"), directory="/")
    two = spec.AppSpec(name="a", command=("app", "--token=hunter3"), directory="/")
    assert "hunter" not in json.dumps(changes.between(one, two, ()))


APP = """
import http.server, os, sys
print("password is", os.environ["DB_PASSWORD"], "and", os.environ["OTHER"], flush=True)
print("could not reach", os.environ["CACHE_URL"], flush=True)
if os.path.exists("broken"):
    sys.exit("giving up")
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])),
    http.server.SimpleHTTPRequestHandler).serve_forever()
"""
SECRETS = ("hunter2-of-the-table", "hunter3-of-the-url", "hunter4-of-the-file")


def test_no_command_shows_a_secret_unless_it_is_asked_for(host: Host) -> None:
    """Nor does a report, the log of gapless, or the command line of a process."""
    host.configure(
        '[app.web]\ncommand = ["python3", "app.py"]\nmin_healthy_s = 0.1\n'
        'environment_file = ".env"\n'
        f'environment = {{ PORT = "{free_port()}", DB_PASSWORD = "{SECRETS[0]}", '
        f'CACHE_URL = "redis://:{SECRETS[1]}@127.0.0.1/0" }}\nrestart = {{ max = 0 }}\n'
    )
    (host.directory / "app.py").write_text(APP)
    (host.directory / ".env").write_text(f"OTHER={SECRETS[2]}\n")
    host.start_file("gapless.toml", "web")
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in host.processes()]
    (host.directory / "broken").touch()
    failed = host.gapless("reload", "web")
    assert failed.returncode == 1
    assert "could not reach redis://:***@127.0.0.1/0" in failed.stdout
    looks = (["list"], ["describe", "web"], ["env", "web"])
    said = [failed.stdout, failed.stderr, host.ok("jlist"), host.ok("pm2", "jlist")]
    said += [host.ok(*look, *more) for look in looks for more in ([], ["--json"])]
    written = [*host.home.glob("reports/*/*"), host.home / "logs" / "gapless.log"]
    assert len(written) > 1
    texts = said + [path.read_text() for path in written]
    for secret in SECRETS:
        assert not any(secret in text for text in texts)
        assert not any(secret.encode() in line for line in lines)
    assert SECRETS[0] in host.ok("env", "web", "--show-secrets")
    assert SECRETS[1] in host.ok("describe", "web", "--json", "--show-secrets")
    assert SECRETS[0] in host.ok("jlist", "--show-secrets")
    ran = host.ok("run", "web", "--", "sh", "-c", "echo $DB_PASSWORD $OTHER")
    assert ran == f"{SECRETS[0]} {SECRETS[2]}\n"
    (host.directory / "broken").unlink()
    host.ok("reload", "web")
    until(lambda: host.status("web") == "online", "the app with its real password")
