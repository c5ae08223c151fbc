"""Errors in a gapless.toml name the file, the line and the key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gapless.base import codec
from gapless.base.errors import MisuseError, NotFoundError
from gapless.config import sources
from gapless.config.choice import inherited
from gapless.config.toml import tables
from gapless.supervisor.memory import spec

WRONG = {
    "command = 3": "gapless.toml:2: app.a.command: write a text or a list of "
    'texts, for example command = ["node", "index.js"]; found 3',
    'command = "true"\ninstances = 0': "gapless.toml:3: app.a.instances",
    'command = "true"\ninstances = "max"': "write a whole number from 1 to 1024 or",
    'command = "true"\nlog = "a.log"': "write a table, for example log = { rotate_mb",
    'command = "true"\nready = { http = "h" }': "write a path that begins with /",
    'command = "true"\nenv = { A = 1 }': "app.a.env: unknown key. did you mean environment",
    'command = "true"\nenvironment = { A = [1] }': "true and false, for example "
    'environment = { PORT = 3000, NODE_ENV = "production" }; found a table',
    'command = "true"\nready = "soon"': 'app.a.ready: write "auto", "listening", "notify"',
    'command = "true"\nready = { when = "soon" }': 'app.a.ready.when: write "auto",',
    'command = "true"\nready = { http = "health" }': "gapless.toml:3: app.a.ready",
    'command = "true"\nready = { when = "notify", http = "/up" }': "gapless.toml:3: "
    "app.a.ready: an app is ready by READY=1 or by its answer to http",
    'command = "true"\nready = { when = { http = "/a" }, http = "/b" }': "gapless.toml:3: "
    "app.a.ready: two paths: when asks for /a, http for /b",
    'command = "true"\nalive = { when = { http = "/a" }, http = "/b" }': "gapless.toml:3: "
    "app.a.alive: two paths: when asks for /a, http for /b",
    'command = "true"\nalive = "auto"': "app.a.alive",
    'command = "true"\nalive = { failures = 0 }': "app.a.alive",
    'command = "true"\nalive = { every_s = 0 }': "app.a.alive",
    'command = "true"\nstop = { drain_timeout_s = -1 }': "app.a.stop.drain_timeout_s",
    'command = "true"\nlisten = ["nowhere"]': "is no address",
    'command = "true"\nlisten = ["127.0.0.1:70000"]': "is no address",
    'command = "true"\nrecycle = { max_unavailable = 0 }': "recycle.max_unavailable",
    'command = "true"\noverlap = "never"': "app.a.overlap",
    'command = "true"\ntakeover = "never"': "app.a.takeover",
    'command = "true"\naffinity = true': "app.a.affinity",
    'command = "true"\naffinity = "cookie"': "app.a.affinity",
    'command = "true"\nshare_ports = "a b"': "app.a.share_ports",
    'command = "true"\nshare_ports = "b"\naffinity = "address"': "app.a.share_ports",
    'command = "true"\noutgoing = [0]': "app.a.outgoing",
    'command = "true"\nshared_files = [""]': "app.a.shared_files",
    'command = "true"\nshared_files = "data"': "app.a.shared_files",
    'command = "true"\noutgoing = ["db:5432"]': "app.a.outgoing",
    'command = "true"\noutgoing = 5432': "app.a.outgoing",
    'command = "true"\nlimits = { memory_mb = 1 }': "app.a.limits.memory_mb",
    'command = "true"\nlimits = { cpu_percent = 0 }': "app.a.limits.cpu_percent",
    'command = "true"\nafter = "b"': "gapless.toml:3: app.a.after",
    'command = "true"\nafter = ["b"]': "there is no app 'b' in this file; it has a",
    'command = "true"\nafter = ["a"]': "an app cannot be after itself",
    'command = ""': "the command is empty",
    'command = "sleep \'1"': "no closing quotation",
    "instances = 2": "command is missing",
    'command = "true"\nlog = { formt = "json" }': "did you mean format?",
    'command = "true': "this is not TOML",
}


def test_all_keys_that_are_not_known_are_named_at_once(tmp_path: Path) -> None:
    """One at a time would be as many runs; the word of another program has an example."""
    path = tmp_path / "gapless.toml"
    path.write_text(
        '[app.a]\ncommand = "true"\nworkdir = "/srv"\nport = 3\nxyz = 1\n'
        'stop = { signl = "INT" }\n'
    )
    with pytest.raises(MisuseError) as caught:
        tables.load(str(path), dict(os.environ))
    lines = caught.value.message.replace(str(path), "F").splitlines()
    assert lines[0].startswith(
        "F:3: app.a.workdir: unknown key. did you mean directory, as"
    )
    assert lines[1].startswith(
        "F:4: app.a.port: unknown key. did you mean environment, as"
    )
    assert lines[2].startswith(
        "F:5: app.a.xyz: unknown key. known here: affinity, after"
    )
    assert lines[3].startswith(
        "F:6: app.a.stop.signl: unknown key. did you mean signal? k"
    )
    assert len(lines) == 4


def test_what_is_no_text_or_no_file_is_named_without_a_number(tmp_path: Path) -> None:
    """Not by what Python calls it."""
    path = tmp_path / "gapless.toml"
    path.write_bytes(b"[app.a]\n# \xff")
    with pytest.raises(MisuseError, match="it is no text in UTF-8, from byte 10 on"):
        tables.load(str(path), {})
    with pytest.raises(MisuseError, match=r"could not read \S+: is a directory"):
        tables.load(str(tmp_path), {})


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, text: str) -> None:
    """Every kind of mistake has its message."""
    path = tmp_path / "gapless.toml"
    path.write_text(f"[app.a]\n{text}\n")
    with pytest.raises(MisuseError) as caught:
        tables.load(str(path), dict(os.environ))
    assert WRONG[text] in caught.value.message


def test_defaults_are_what_the_manual_says(tmp_path: Path) -> None:
    """A table with only a command has the documented defaults."""
    path = tmp_path / "gapless.toml"
    path.write_text('[app.a]\ncommand = ["true", "x y"]\n')
    app = tables.load(str(path), dict(os.environ)).apps["a"]
    assert app.command == ("true", "x y")
    assert app.directory == str(tmp_path.resolve())
    assert (app.instances, app.min_healthy_s) == (1, 2.0)
    assert app.ready == spec.Ready()
    assert app.stop == spec.Stop()
    assert codec.decode(spec.AppSpec, codec.encode(app)) == app


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"auto"', spec.Taking.AUTO),
        ("true", spec.Taking.ALWAYS),
        ("false", spec.Taking.NEVER),
    ],
)
def test_takeover_is_auto_or_yes_or_no(
    tmp_path: Path, written: str, meant: spec.Taking
) -> None:
    """`auto` leaves out what an app may trust less than its host."""
    path = tmp_path / "gapless.toml"
    path.write_text(f'[app.a]\ncommand = "true"\ntakeover = {written}\n')
    assert tables.load(str(path), dict(os.environ)).apps["a"].takeover is meant


def test_ports_of_databases_are_kept_in_order(tmp_path: Path) -> None:
    """The ports are sorted, each once, and reach the supervisor so."""
    path = tmp_path / "gapless.toml"
    path.write_text(
        '[app.a]\ncommand = "true"\noutgoing = [5432, 3306, 5432]\n'
        'shared_files = ["data/*"]\n'
    )
    app = tables.load(str(path), dict(os.environ)).apps["a"]
    assert app.outgoing == (3306, 5432)
    assert app.shared_files == ("data/*",)
    assert codec.decode(spec.AppSpec, codec.encode(app)) == app


def test_a_probe_may_be_written_in_three_ways(tmp_path: Path) -> None:
    """Both long forms give the same spec."""
    for written in (
        '{ http = "/health", timeout_s = 5 }',
        '{ when = { http = "/health" }, timeout_s = 5 }',
    ):
        path = tmp_path / "gapless.toml"
        path.write_text(f'[app.a]\ncommand = "true"\nready = {written}\n')
        app = tables.load(str(path), dict(os.environ)).apps["a"]
        assert app.ready == spec.Ready(when=spec.When.HTTP, path="/health", timeout_s=5)


def test_liveness_is_asked_as_is_written(tmp_path: Path) -> None:
    """Never unless it says so; by HTTP if it names a path, else by the port alone."""
    path = tmp_path / "gapless.toml"
    listening, http = spec.Asks.LISTENING, spec.Asks.HTTP
    for written, meant in {
        "": spec.Alive(),
        'alive = "never"': spec.Alive(),
        'alive = "listening"': spec.Alive(when=listening),
        "alive = { failures = 2 }": spec.Alive(when=listening, failures=2),
        'alive = { http = "/h" }': spec.Alive(when=http, path="/h"),
        'alive = { when = { http = "/h" }, every_s = 1, timeout_s = 2 }': spec.Alive(
            when=http, path="/h", every_s=1, timeout_s=2
        ),
    }.items():
        path.write_text(f'[app.a]\ncommand = "true"\n{written}\n')
        assert tables.load(str(path), dict(os.environ)).apps["a"].alive == meant


def test_what_belongs_to_the_caller_does_not_reach_the_app() -> None:
    """Variables of the caller's own process are not inherited."""
    found = inherited({"PATH": "/bin", "NOTIFY_SOCKET": "@x", "LISTEN_FDS": "1"})
    assert found == {"PATH": "/bin"}


def test_surroundings(tmp_path: Path) -> None:
    """One environment file or a list; a umask of octal digits in quotes."""
    path = tmp_path / "gapless.toml"

    def built(line: str) -> spec.AppSpec:
        path.write_text(f'[app.a]\ncommand = "true"\n{line}\n')
        return tables.load(str(path), dict(os.environ)).apps["a"]

    assert built('environment_file = ".env"').environment_files == (".env",)
    files = built('environment_file = ["/etc/a", "-.env"]').environment_files
    assert files == ("/etc/a", "-.env")
    assert built('umask = "0027"').umask == "0027"
    assert built("").umask == ""
    for line in ("umask = 27", 'umask = "28"', 'umask = "07777"'):
        with pytest.raises(MisuseError, match=r'app.a.umask.*like "027"'):
            built(line)
    with pytest.raises(MisuseError, match=r"app\.a\.environment_file"):
        built('environment_file = ["-"]')


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    """A missing file, directory or program is a NotFoundError."""
    path = tmp_path / "gapless.toml"
    with pytest.raises(NotFoundError):
        tables.load(str(path), {})
    for text in ('command = "no-such-program"', 'command = "true"\ndirectory = "no"'):
        path.write_text(f"[app.a]\n{text}\n")
        with pytest.raises(NotFoundError):
            tables.load(str(path), dict(os.environ))


def test_a_circle_of_apps_is_refused_by_name(tmp_path: Path) -> None:
    """With every app of it, and where it begins."""
    file = tmp_path / "gapless.toml"
    text = "".join(
        f"[app.{name}]\ncommand = 'true'\nafter = ['{other}']\n"
        for name, other in ("ab", "bc", "cb")
    )
    file.write_text(text)
    with pytest.raises(MisuseError) as raised:
        tables.load(str(file), {"PATH": os.environ["PATH"]})
    assert raised.value.message.endswith(
        "gapless.toml:6: app.b.after: a circle, in which nothing could start first: "
        "b after c after b"
    )


def test_affinity_by_address_says_what_a_balancer_makes_of_it(tmp_path: Path) -> None:
    """And where it has no effect; one instance needs no remark."""
    path = tmp_path / "gapless.toml"
    path.write_text(
        '[app.a]\ncommand = "true"\naffinity = "address"\ninstances = 2\n'
        '[app.b]\ncommand = "true"\naffinity = "address"\n'
        '[app.c]\ncommand = "true"\naffinity = "address"\ninterception = false\n'
        '[app.d]\ncommand = "true"\naffinity = "none"\ninstances = 2\n'
    )
    apps = tables.load(str(path), dict(os.environ)).apps
    assert apps["a"].affinity is spec.Affinity.ADDRESS
    first, second = sources.remarks(apps)
    assert first.startswith('a: affinity = "address": behind a balancer')
    assert second.startswith('c: affinity = "address" has no effect')


def test_a_link_without_a_release_is_named_as_such(tmp_path: Path) -> None:
    """Before the first publish nothing is wrong with the key `directory`."""
    path = tmp_path / "gapless.toml"
    app = '[app.a]\ncommand = "true"\ndirectory = "dfs/dist/shop/web"\n'
    path.write_text(f'{app}[release.shop]\nbase = "./dfs"\n')
    with pytest.raises(NotFoundError) as caught:
        tables.load(str(path), dict(os.environ))
    assert "has no release yet: gapless publish shop.tar.gz" in caught.value.hint
    path.write_text(app)
    with pytest.raises(NotFoundError) as caught:
        tables.load(str(path), dict(os.environ))
    assert "relative to the configuration file" in caught.value.hint
