"""Texts of people and of networks: each is read, or refused with a message.

The parsers are those of whole files (configuration, checksums, signed statements) and of
words (destinations, names in units, heads of requests, names and heads of files that a push
looks at, logs and messages that reach a terminal).
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gapless.agent.health import answer
from gapless.base.errors import GaplessError, MisuseError
from gapless.base.outside import text
from gapless.cli.terminal.log_text import LogText
from gapless.cli.units import escaping
from gapless.config.choice import Choice
from gapless.config.pm2.pm2_file import Pm2File
from gapless.config.toml import fleets, tables
from gapless.config.toml.toml_file import TomlFile
from gapless.push import destination, secrets
from gapless.releases.inbox import checksums
from gapless.releases.signing import statements
from rig import fuzz

VALUES = (
    *("1", "-1", "0.5", "1e400", "true", "[]", "{}", '""', '"a"', '"5s"', '"1G"'),
    *('["a.js"]', '"SIGTERM"', '"/"', '"../.."', '"a\\u0000b"', '"max"', "[[1]]"),
    *('{"http": "/"}', '{"NODE_ENV": "x"}', '["a", 1]', "99999999999999999999"),
)
TOML_KEYS = (
    *("command", "directory", "instances", "environment", "ready", "stop", "restart"),
    *("listen", "after", "limits", "umask", "environment_file", "alive", "takeover"),
    *("overlap", "recycle", "watch", "memory", "log", "user", "drops", "outgoing"),
    *("base", "push", "build", "shared", "keep", "hooks", "slots", "canary", "waves"),
    *("freeze", "health_listen", "health_from", "address", "etcd", "prefix"),
    *("affinity", "spread", "renew", "signers", "publishers", "build_user"),
)
PM2_KEYS = (
    *("name", "script", "args", "cwd", "env", "env_x", "instances", "exec_mode"),
    *("watch", "ignore_watch", "max_memory_restart", "cron_restart", "kill_timeout"),
    *("out_file", "error_file", "interpreter", "node_args", "wait_ready", "port"),
    *("listen_timeout", "max_restarts", "min_uptime", "restart_delay", "uid", "gid"),
    *("increment_var", "log_date_format", "gapless", "filter_env", "stop_exit_codes"),
)
TABLES = ("app.a", "release.a", "rollout.a", "coordinator", "app", '"app"."a b"')
DAMAGE = tuple(
    b"= \" ''' { } [ ] , . # \n \r \x00 \xff \xc3 // /* a: 1979-05-27".split()
)


def toml(draw: random.Random) -> bytes:
    """Return a gapless.toml of known tables, known keys and any values."""
    lines = []
    for table in draw.sample(TABLES, k=draw.randrange(1, 4)):
        lines.append(f"[{table}]")
        keys = draw.sample(TOML_KEYS, k=draw.randrange(5))
        lines += [f"{k} = {draw.choice(VALUES).replace(': ', ' = ')}" for k in keys]
    return _damaged(draw, "\n".join(lines).encode())


def pm2(draw: random.Random) -> bytes:
    """Return a file of PM2 with known keys and any values."""
    keys = draw.sample(PM2_KEYS, k=draw.randrange(6))
    fields = ['"script": "/bin/sh"', *(f'"{k}": {draw.choice(VALUES)}' for k in keys)]
    return _damaged(draw, f'{{"apps": [{{{", ".join(fields)}}}]}}'.encode())


def _damaged(draw: random.Random, content: bytes) -> bytes:
    """Damage some: the others show what a field alone can do, and are read faster."""
    return content if draw.randrange(6) else fuzz.damaged(draw, content, DAMAGE)


def _of(*pieces: bytes) -> Callable[[random.Random], bytes]:
    return lambda draw: fuzz.made_up(draw, pieces, most=8)


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """A directory for files that are written again and again, in memory if it can be."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as made:
        yield Path(made)


def read_toml(content: bytes, directory: Path) -> None:
    """Read one of the three things that a gapless.toml can declare."""
    path = directory / "gapless.toml"
    path.write_bytes(content)
    with _refused():
        match zlib.crc32(content) % 3:
            case 0:
                TomlFile(str(path), lambda name: name).load(Choice(environment={}))
            case 1:
                tables.load_releases(str(path), {})
            case _:
                fleets.load(str(path), {})


def read_pm2(content: bytes, directory: Path, name: str = "app.json") -> None:
    """Read a file of PM2."""
    path = directory / name
    path.write_bytes(content)
    with _refused():
        Pm2File(str(path), lambda name: name).load(Choice(environment={"PATH": "/bin"}))


def read_checksums(content: bytes, directory: Path) -> None:
    """Read the checksum file of an upload."""
    (directory / "a.tar.gz.sha256").write_bytes(content)
    found = checksums.expected(str(directory / "a.tar.gz"))
    assert found is not None
    assert len(found[1]) <= 65


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    """Let an error pass that has a message for people."""
    message = "it was read"
    try:
        yield
    except GaplessError as error:
        message = json.dumps(error.describe()["message"])
    assert len(message) > len('""')


def read_destination(content: bytes) -> None:
    """Read where a push goes to: what is taken is no option of ssh."""
    with contextlib.suppress(MisuseError):
        found = destination.parse(content.decode(errors="surrogateescape"))
        assert not found.host.startswith("-")
        assert str(found).isprintable()


def read_statement(content: bytes) -> None:
    """Read what an uploader has signed: there is one form."""
    with contextlib.suppress(ValueError):
        assert statements.read_upload(content).text() == content


def read_head(content: bytes) -> None:
    """Read the head of a request for the health answer."""
    head = bytearray(content)
    with contextlib.suppress(ValueError):
        if answer.is_whole(head):
            answer.app_of(("app",), *answer.request_of(head))


def read_word(content: bytes) -> None:
    """Put a text into a unit of systemd."""
    said = content.decode(errors="replace")
    with contextlib.suppress(MisuseError):
        assert "\n" not in escaping.word(said, "it") + escaping.argument(said, "it")
    assert escaping.unit_name(said).isascii()


def look_at_file(content: bytes) -> None:
    """Look at a file that is pushed, by its name and by what it begins with."""
    name = content[:20].decode(errors="surrogateescape")
    assert isinstance(secrets.reason_by_name(name), str)
    assert isinstance(secrets.reason_by_content(name, content), str)


def show_log(content: bytes) -> None:
    """Show a log on a terminal, in two parts."""
    shown, half = LogText(), len(content) // 2
    found = shown.shown(content[:half]) + shown.shown(content[half:])
    assert b"\x1b[8m" not in found
    assert b"\x07" not in found


def show_text(content: bytes) -> None:
    """Show a text that came from outside."""
    found = text.printable(content.decode(errors="replace"), kept="\n\t")
    assert all(each.isprintable() or each in "\n\t" for each in found)
    io.StringIO().write(found)


WORDS: dict[str, tuple[Callable[[bytes], None], Callable[[random.Random], bytes]]] = {
    "destination": (
        read_destination,
        _of(
            b"ssh://", b"-o", b"[", b"]", b"@", b":", b"/", b"~", b"host", b"2", b"\xff"
        ),
    ),
    "statement": (
        read_statement,
        _of(
            b"gapless upload 1\napp shop\nsha256 " + b"a" * 64 + b"\nsigned_ns 1\n",
            *(b"app shop\n", b"sha256 ", b"a" * 64, b"\n", b"signed_ns 01\n", b"\xff"),
        ),
    ),
    "head": (
        read_head,
        _of(
            *(b"GET /app HTTP/1.1\r\n", b"\r\n\r\n", b"\n\n", b" ", b"%", b"HEAD "),
            *(b"Host: a\r\n", b"?", b"/app", b"%61", b"\x00", b"\xff", b"HTTP/1.0"),
        ),
    ),
    "unit": (
        read_word,
        _of(b"/usr/bin/a", b"%h", b"$", b"${A}", b'"', b"'", b"\\", b"\n", b";", b" "),
    ),
    "pushed": (
        look_at_file,
        _of(
            *(b".env", b".npmrc", b"id_rsa", b"_auth", b"-----BEGIN ", b"PRIVATE KEY"),
            *(b"AGE-SECRET-KEY-1", b'"private_key" ', b"a=", b"\n", b"\x00", b"/"),
        ),
    ),
    "log": (
        show_log,
        _of(
            *(b"\x1b", b"[", b"31", b";", b"m", b"\x1b[8m", b"\x1b[38;5;8m", b"\r"),
            *(b"\n", b"\x1b]0;a\x07", b"\x9b", b"\xc2\x9b", b"\xe2\x80\xae", b"a"),
        ),
    ),
    "text": (
        show_text,
        _of(b"\x1b[2J", b"\xc2\x9b", b"\xe2\x80\xae", b"\r", b"a", b"\xff", b"\n"),
    ),
}
FILES: dict[
    str, tuple[Callable[[bytes, Path], None], Callable[[random.Random], bytes]]
] = {
    "toml": (read_toml, toml),
    "pm2": (read_pm2, pm2),
    "pm2-yaml": (lambda c, d: read_pm2(c, d, "app.yaml"), pm2),
    "checksums": (
        read_checksums,
        _of(b"a" * 64, b"  a.tar.gz\n", b" ", b"*", b"\\", b"\x00", b"\xff", b"g" * 70),
    ),
}


@pytest.mark.parametrize("kind", WORDS)
def test_every_word_is_read_or_refused(kind: str) -> None:
    """There is no other exception, and no hang."""
    fuzz.try_all(*WORDS[kind], fuzz.SHORT, 19)


@pytest.mark.parametrize("kind", FILES)
def test_every_file_is_read_or_refused(kind: str, directory: Path) -> None:
    """The same, for what is read from a disk."""
    parse, make = FILES[kind]
    # Files are slow to parse, YAML above all, and read by the same code from there on.
    count = fuzz.SHORT // (10 if kind == "pm2-yaml" else 2)
    fuzz.try_all(lambda content: parse(content, directory), make, count, 19)


@pytest.mark.soak
@pytest.mark.parametrize("kind", WORDS)
def test_a_million_words_are_read_or_refused(kind: str) -> None:
    """The seed is of this run; a failure names it."""
    fuzz.try_all(*WORDS[kind], fuzz.LONG, random.randrange(1 << 32))


@pytest.mark.soak
@pytest.mark.parametrize("kind", FILES)
def test_a_million_files_are_read_or_refused(kind: str, directory: Path) -> None:
    """The seed is of this run; a failure names it."""
    parse, make = FILES[kind]
    seed = random.randrange(1 << 32)
    fuzz.try_all(lambda content: parse(content, directory), make, fuzz.LONG, seed)
