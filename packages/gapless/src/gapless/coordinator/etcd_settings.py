"""How etcd is reached, as the configuration says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdSettings:
    """The endpoints of one etcd cluster, and the credentials of this host."""

    endpoints: tuple[str, ...]
    """URLs like http://10.0.0.1:2379; if one does not answer the next one is asked."""
    prefix: str = "gapless"
    """Every key is below it."""
    user: str = ""
    password: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    timeout_s: float = 5.0
