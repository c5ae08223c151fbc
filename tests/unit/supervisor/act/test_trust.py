"""Which apps name addresses that they trust."""

from __future__ import annotations

import pytest

from gapless.supervisor.act.trust import declares_trust
from gapless.supervisor.memory.spec import AppSpec


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
