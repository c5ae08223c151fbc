"""Which apps trust some clients more than others by their address.  Pure.

A relayed request comes from the host's own address.  Where the client has another one, an
app could take the host for a proxy, and believe what the client says of itself.
"""

from __future__ import annotations

from gapless.supervisor.memory.spec import AppSpec

_OPTIONS = (
    "--forwarded-allow-ips",
    "--proxy-allow-from",
    "--proxy-protocol",
    "--trusted-proxy",
    "--trusted-proxies",
    "--trusted-hosts",
    "--proxy-headers",
)
_VARIABLES = ("FORWARDED_ALLOW_IPS", "TRUSTED_PROXIES", "TRUST_PROXY")


def declares_trust(app: AppSpec) -> bool:
    """Return whether an app's command or configured variables name addresses to trust."""
    words = (word.partition("=")[0] for word in app.command)
    return any(word in _OPTIONS for word in words) or any(
        name in app.environment for name in _VARIABLES
    )
