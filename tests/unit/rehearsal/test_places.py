"""An app's configuration with other ports and other directories."""

from __future__ import annotations

import pytest

from gapless.rehearsal.places import moved, path_moved, port_of, ports_of
from gapless.supervisor.memory.spec import AppSpec, Log, Renew


def spec(*command: str, listen: tuple[str, ...] = (), **environment: str) -> AppSpec:
    """Return an app that is configured with all of its variables."""
    return AppSpec(
        name="shop",
        command=command or ("node", "index.js"),
        directory="/srv/shop",
        environment=environment,
        configured=tuple(environment),
        listen=listen,
    )


@pytest.mark.parametrize(
    ("app", "ports"),
    [
        (spec(PORT="3000"), (3000,)),
        (spec("gunicorn", "--bind", "127.0.0.1:8000", "shop:app"), (8000,)),
        (spec("gunicorn", "--bind=0.0.0.0:8000"), (8000,)),
        (spec("gunicorn", "-b", ":8000", "-w", "4"), (8000,)),
        (spec("uvicorn", "--port", "8000", "--workers", "1600"), (8000,)),
        (spec("java", "--server.port=8080", "-Xmx512"), (8080,)),
        (spec("php", "-S", "localhost:8080"), (8080,)),
        (spec("server", listen=("0.0.0.0:80",)), (80,)),
        (spec(HTTP_PORT="8080", TIMEOUT="5000"), (8080,)),
        (spec("server", "--max", "5000"), ()),
        (spec(PORT="none"), ()),
        (spec(PORT="99999"), ()),
    ],
)
def test_the_ports_that_an_app_is_told_are_found(
    app: AppSpec, ports: tuple[int, ...]
) -> None:
    """By variable, by `listen`, and by words that can be nothing else."""
    assert ports_of(app) == ports


def test_ports_are_changed_where_they_were_found_and_nowhere_else() -> None:
    """A number that only looks like a port stays, and so does a database's address."""
    app = spec(
        *("gunicorn", "-b", "127.0.0.1:3000", "-w", "3000", "--timeout=3000"),
        PORT="3000",
        DATABASE_URL="postgres://db:3000/shop",
        listen=("[::]:3000",),
    )
    found = moved(app, ports={3000: 45678}, paths={})
    assert found.command == (
        *("gunicorn", "-b", "127.0.0.1:45678", "-w", "3000", "--timeout=3000"),
    )
    assert found.environment == {
        "PORT": "45678",
        "DATABASE_URL": "postgres://db:3000/shop",
    }
    assert found.listen == ("[::]:45678",)


def test_an_app_that_is_told_no_port_is_told_one() -> None:
    """Many listen on PORT, else on a number in their code."""
    found = moved(spec(), ports={0: 45678}, paths={})
    assert found.environment == {"PORT": "45678"}
    assert found.configured == ("PORT",)
    assert moved(spec(), ports={}, paths={}).environment == {}


def test_paths_are_changed_in_words_lists_and_variables() -> None:
    """The copy of a directory stands for it, and what only begins like it stays."""
    app = spec(
        *("/srv/shop/.venv/bin/python", "--root=/srv/shop", "/srv/shopping"),
        PATH="/srv/shop/bin:/usr/bin",
        DATA="/srv/shop/data",
        SOCKET="unix:/srv/shop/app.sock",
    )
    found = moved(app, ports={}, paths={"/srv/shop": "/t/current"})
    assert found.command == (
        *("/t/current/.venv/bin/python", "--root=/t/current", "/srv/shopping"),
    )
    assert found.directory == found.declared_directory == "/t/current"
    assert found.environment["PATH"] == "/t/current/bin:/usr/bin"
    assert found.environment["DATA"] == "/t/current/data"
    assert path_moved("unix:/srv/shop/a", {"/srv/shop": "/t"}) == "unix:/t/a"


def test_what_an_app_writes_elsewhere_is_left_out() -> None:
    """Its logs, its pid file, and what would renew it or wait for others."""
    app = AppSpec(
        name="shop",
        command=("node",),
        directory="/srv/shop",
        log=Log(output="/var/log/shop.log", error="/var/log/shop.err"),
        pid_file="/run/shop.pid",
        renew=Renew(cron="0 0 * * *", watch=("/srv/shop",)),
        after=("database",),
        config_file="/srv/shop/gapless.toml",
    )
    found = moved(app, ports={}, paths={})
    assert (found.log.output, found.log.error, found.pid_file) == ("", "", "")
    assert found.renew == Renew()
    assert (found.after, found.config_file) == ((), "")


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("127.0.0.1:80", 80),
        ("[::]:8080", 8080),
        ("udp:127.0.0.1:53", 0),
        ("unix:/run/a.sock", 0),
    ],
)
def test_the_port_of_an_address(address: str, port: int) -> None:
    """Of TCP only."""
    assert port_of(address) == port
