"""Which apps trust some clients more than others by their address.  Pure.

A relayed request comes from the host's own address.  Where the client has another one, an
app could take the host for a proxy, and believe what the client says of itself.
"""

from __future__ import annotations

from gapless.supervisor.memory.spec import AppSpec

_WORDS = (
    "forwarded-allow",
    "proxy-allow",
    "proxy-header",
    "proxy-protocol",
    "trust-proxy",
    "trusted-prox",
    "trusted-host",
)


def declares_trust(app: AppSpec) -> bool:
    """Return whether an app's command or variables name addresses to trust.

    The words may stand anywhere: in a shell's argument, in GUNICORN_CMD_ARGS.
    """
    texts = [*app.command, *app.environment, *app.environment.values()]
    joined = " ".join(texts).lower().replace("_", "-")
    return any(word in joined for word in _WORDS)
