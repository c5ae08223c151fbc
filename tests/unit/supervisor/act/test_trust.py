"""Which apps name addresses that they trust."""

from __future__ import annotations

import pytest

from gapless.base import codec
from gapless.supervisor.act.trust import declares_trust
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.spec import AppSpec
from gapless.supervisor.observe import file_variables


@pytest.mark.parametrize(
    ("command", "environment", "expected"),
    [
        (("uvicorn", "app:app"), {}, False),
        (("uvicorn", "--forwarded-allow-ips", "10.0.0.1", "app:app"), {}, True),
        (("gunicorn", "--forwarded-allow-ips=*", "app:app"), {}, True),
        (("gunicorn", "--proxy-protocol", "app:app"), {}, True),
        (("sh", "-c", "exec gunicorn --proxy-protocol app:app"), {}, True),
        (("gunicorn",), {"GUNICORN_CMD_ARGS": "--forwarded-allow-ips=*"}, True),
        (("uvicorn",), {"UVICORN_FORWARDED_ALLOW_IPS": "*"}, True),
        (("node", "app.js"), {"FORWARDED_ALLOW_IPS": "10.0.0.1"}, True),
        (("node", "app.js"), {"PATH": "/usr/bin"}, False),
    ],
)
def test_what_names_addresses_to_trust(
    command: tuple[str, ...], environment: dict[str, str], expected: bool
) -> None:
    """Options and variables of well-known servers."""
    app = AppSpec(name="app", command=command, directory="/", environment=environment)
    assert declares_trust(app) is expected


def test_variables_of_environment_files_count_too() -> None:
    """They are known when the generation begins, and nothing keeps their values."""
    wanted = AppSpec(
        name="web", command=("x",), directory="/", environment={"A": "own"}
    )
    generation = GenerationRecord(number=1, spec=wanted, since=0.0)
    assert not declares_trust(file_variables.as_configured(generation))
    generation.file_variables = {"FORWARDED_ALLOW_IPS": "127.0.0.1"}
    assert declares_trust(file_variables.as_configured(generation))
    assert "127.0.0.1" not in str(codec.encode(generation))
