"""[notify.NAME]: what is taken, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from gapless.base.errors import MisuseError
from gapless.config.toml import notify, tables
from gapless.notify.model import Command, Format, Kind, Mail, Webhook
from gapless.notify.targets import target_of


def written(directory: Path, text: str) -> str:
    """Write a file; return its path."""
    path = directory / "gapless.toml"
    path.write_text(text)
    return str(path)


def test_each_way_becomes_a_target(tmp_path: Path) -> None:
    """With its defaults."""
    for name in ("url", "token"):
        (tmp_path / name).write_text(
            {"url": "https://hooks.example/T/B/x\n", "token": "s3cret\n"}[name]
        )
        (tmp_path / name).chmod(0o600)
    found = notify.load(
        written(
            tmp_path,
            """
            [notify.chat]
            webhook_file = "url"
            token_file = "token"
            format = "slack"
            on = ["failed", "held"]
            apps = ["shop"]
            [notify.pager]
            command = "page --to 'on call'"
            [notify.mail]
            mail = ["ops@example.org", "root"]
            """,
        )
    )
    chat, pager, mail = map(target_of, found.values())
    assert chat.way == Webhook(
        url="https://hooks.example/T/B/x", format=Format.SLACK, token="s3cret"
    )
    assert chat.kinds == {Kind.FAILED, Kind.HELD}
    assert chat.apps == {"shop"}
    assert pager.way == Command(words=("page", "--to", "on call"))
    assert pager.kinds == set(Kind) - {Kind.TEST}
    assert mail.way == Mail(to=("ops@example.org", "root"))


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ("", "write one of webhook"),
        ('webhook = "https://a"\ncommand = "true"', "write one of webhook"),
        ('webhook = "ftp://a/"', "no URL of a webhook"),
        ('webhook = "file:///etc/passwd"', "no URL of a webhook"),
        ('webhook = "https://"', "no URL of a webhook"),
        ('webhook = "https://a/\\r\\nX: y"', "no URL"),
        ('webhook = "https://a:99999/"', "no URL"),
        ('webhook = "https://[::1/"', "no URL"),
        ('webhook = "https://a/ b"', "no URL"),
        ('webhook = "https://u:p4ssw0rd@a/"', "write token_file"),
        ('webhook = "https://a/#x"', "is not sent"),
        ('webhook = "http://a.example/hook-s3cret"', "travel unencrypted"),
        ('webhook_file = "missing"', "No such file"),
        ('webhook_file = "open"', "lets others have it"),
        ('webhook = "https://a"\ntoken_file = "lines"', "one line of ASCII"),
        ('mail = "-oQ/tmp"', "no address"),
        ('mail = "a@b, c@d"', "no address"),
        ('mail = "a@b\\nBcc: c@d"', "no address"),
        ('mail = "a@b"\nmail_from = "-f x"', "no address"),
        ('mail = "a@b"\nsendmail = "sendmail"', "not an absolute path"),
        ("command = []", "write one of webhook"),
        ('command = "page \'"', "no command"),
        ('command = "true"\non = ["everything"]', "known: done, failed"),
        ('command = "true"\napps = ["a/b"]', "no name of an app"),
        ('command = "true"\ntimeout_s = 1e9', "from 0.1 to 120"),
        ('command = "true"\nwebhok = "x"', "unknown key"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    tmp_path: Path, keys: str, reason: str
) -> None:
    """With the line; what may be secret is not repeated."""
    (tmp_path / "open").write_text("https://a/")
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "lines").write_text("a\nb\n")
    (tmp_path / "lines").chmod(0o600)
    with pytest.raises(MisuseError) as found:
        notify.load(written(tmp_path, f"[notify.ops]\n{keys}\n"))
    assert reason in found.value.message
    assert ": notify.ops" in found.value.message
    assert "s3cret" not in found.value.message
    assert "p4ssw0rd" not in found.value.message


def test_http_is_taken_where_nobody_else_is(tmp_path: Path) -> None:
    """On loopback, or where somebody says so."""
    text = '[notify.{}]\nwebhook = "http://{}/"\n'
    hosts = ("127.0.0.1:8065", "localhost", "[::1]:80")
    tables_of = [text.format(f"n{n}", host) for n, host in enumerate(hosts)]
    tables_of.append(text.format("lan", "chat.lan") + "insecure = true\n")
    assert len(notify.load(written(tmp_path, "".join(tables_of)))) == 4


def test_a_mistake_is_found_before_anything_starts(tmp_path: Path) -> None:
    """`check` and `start` read the table, and no file of a secret."""
    app = '[app.shop]\ncommand = "true"\n'
    path = written(tmp_path, f'{app}[notify.a]\nwebhook_file = "missing"\n')
    assert set(tables.load(path, {"PATH": "/bin:/usr/bin"}).apps) == {"shop"}
    path = written(tmp_path, f"{app}[notify.a]\n")
    with pytest.raises(MisuseError, match="write one of"):
        tables.load(path, {"PATH": "/bin:/usr/bin"})
