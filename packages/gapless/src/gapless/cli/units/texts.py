"""The texts of the units: of the supervisor, and of an agent or a publisher.  Pure.

The supervisor's unit restricts only what no app needs, because its apps inherit it: most of
systemd's sandbox implies NoNewPrivileges=, which takes sudo from them, or makes a mount
namespace, in which they would see other files than those that run already.  An agent and a
publisher start no supervisor (GAPLESS_STARTS=no), so theirs may be tight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gapless.cli.units.escaping import argument, line, program, word

KERNEL = (
    "CAP_AUDIT_CONTROL CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_SYS_BOOT CAP_SYS_MODULE "
    "CAP_SYS_PACCT CAP_SYS_RAWIO CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_WAKE_ALARM"
)
"""Rights over the machine itself."""

_SUPERVISOR = """\
[Unit]
Description=gapless: the apps of {user}
After=network.target
# It is started again however often it ends; one that ends at once begins later and later.
StartLimitIntervalSec=0

[Service]
# It is started when it has taken over what runs, and answers.
Type=notify
# One that hangs is ended, and the next takes over.  Nothing but SIGKILL ends a process that
# is stopped or traced.
WatchdogSec=30
WatchdogSignal=SIGKILL
User={user}
Environment={home}
Environment={path}
ExecStart={command} supervise
# `systemctl reload` gives every app a new generation; no request is lost.
ExecReload={command} reload all
# `systemctl stop` and the end of the machine end the apps; `systemctl restart` does not:
# the next supervisor takes over what serves.
ExecStop={command} shutdown --if-stopped %n
# A supervisor that hangs meanwhile is ended.  While apps finish it asks for more time, for
# a stop and for a reload.
TimeoutStopSec=120
Restart=always
RestartSec=1
# The exit code after `gapless shutdown`: what was shut down stays so until it is started.
RestartPreventExitStatus=10
SuccessExitStatus=10
# Without it systemd would end the keeper and the apps when the supervisor ends.
KillMode=process
# Each instance has a control group of its own, so that none of its processes is missed.
Delegate=yes
# `limits` of memory and processor time: while they are kept no process may start in the
# group of the unit.  The next supervisor sets them again.
Environment=GAPLESS_CGROUPS=limits
ExecStopPost=-{command} supervise --withdraw-limits
LimitNOFILE=65536
# Apps inherit this, also what they start by sudo: nothing of it may load a module, set the
# clock or reach the hardware.  More would take from apps what some of them need.
CapabilityBoundingSet=~{kernel}
{ambient}
[Install]
WantedBy=multi-user.target
"""

_LOW_PORTS = """\
# Apps may have ports below 1024.
AmbientCapabilities=CAP_NET_BIND_SERVICE
"""

_SANDBOX = """\
# Nothing of it runs in an app: the supervisor starts those, and this starts none.
Environment=GAPLESS_STARTS=no
NoNewPrivileges=yes
LockPersonality=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictRealtime=yes
RestrictSUIDSGID=yes
CapabilityBoundingSet=~{kernel} CAP_SYSLOG CAP_NET_RAW CAP_NET_ADMIN
"""

_AGENT = """\
[Unit]
Description=gapless: the agent of {user}
After=network-online.target {supervisor}
Wants=network-online.target {supervisor}

[Service]
User={user}
Environment={home}
Environment={path}
ExecStart={command} agent -c {config}
# A handoff is not left half-done: it is given a minute.
TimeoutStopSec=70
Restart=always
RestartSec=2
{sandbox}RestrictNamespaces=yes
SystemCallArchitectures=native
# It writes what it shares with other hosts, its copies of releases, and its home.
ProtectSystem=strict
ReadWritePaths={paths}
{private_tmp}
[Install]
WantedBy=multi-user.target
"""

_WATCH = """\
[Unit]
Description=gapless: the publisher of {user}
After=network-online.target {supervisor}
Wants=network-online.target

[Service]
User={user}
Environment={home}
Environment={path}
ExecStart={command} watch -c {config}
# A build comes to its end.
TimeoutStopSec=700
Restart=always
RestartSec=2
# Each build has a control group of its own, so that none of its processes is missed.
Delegate=yes
# Builds run in this sandbox.  One that needs sudo, or containers of its own, wants
# NoNewPrivileges= and RestrictSUIDSGID= away.
{sandbox}# Builds write caches in homes, so that only the system itself is read-only.
ProtectSystem=full
ReadWritePaths={paths}
{private_tmp}
[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOf:
    """Whose unit it is, and what it starts."""

    user: str
    home: str
    path: str
    """The PATH of the unit."""
    command: str
    """The path of `gapless`."""


def supervisor(
    of: UnitOf,
    *,
    in_user_manager: bool = False,
    online: bool = False,
    low_ports: bool = False,
) -> str:
    """Return the unit of the supervisor.  Raises MisuseError.

    *in_user_manager*: for `systemctl --user`, which may neither set a user nor rights.
    *online*: it begins when the network is up (systemd.special(7)).
    *low_ports*: its apps may have ports below 1024.
    """
    text = _SUPERVISOR
    if online:
        text = text.replace(
            "After=network.target",
            "After=network-online.target\nWants=network-online.target",
        )
    text = text.format(**_fields(of), ambient=_LOW_PORTS if low_ports else "")
    if in_user_manager:
        lines = text.replace("multi-user.target", "default.target").splitlines()
        begin = lines.index("LimitNOFILE=65536") + 1
        end = lines.index("", begin)
        kept = [*lines[:begin], *lines[end:]]
        text = "".join(f"{each}\n" for each in kept if not each.startswith("User="))
    return text


def agent(of: UnitOf, *, config: str, writes: Sequence[str], after: str) -> str:
    """Return the unit of an agent that starts after the unit *after*.  Raises MisuseError.

    *writes* are the directories that it writes.
    """
    return _AGENT.format(**_fields(of), **_own(config, writes, after))


def watch(of: UnitOf, *, config: str, writes: Sequence[str], after: str) -> str:
    """Return the unit of a publisher; the arguments are those of `agent`."""
    return _WATCH.format(**_fields(of), **_own(config, writes, after))


def _fields(of: UnitOf) -> dict[str, str]:
    return {
        "user": line(of.user, "the user"),
        "home": word(f"GAPLESS_HOME={of.home}", "GAPLESS_HOME"),
        "path": word(f"PATH={of.path}", "PATH"),
        "command": program(of.command, "the command"),
        "kernel": KERNEL,
    }


def _own(config: str, writes: Sequence[str], after: str) -> dict[str, str]:
    paths = sorted(set(writes))
    is_in_tmp = any(f"{path}/".startswith(("/tmp/", "/var/tmp/")) for path in paths)  # noqa: S108 - compared
    return {
        "config": argument(config, "the configuration"),
        # What is not there yet is made by the first start, outside the sandbox.
        "paths": " ".join(word(f"-{path}", "the directory") for path in paths),
        "supervisor": after,
        "sandbox": _SANDBOX.format(kernel=KERNEL),
        "private_tmp": "" if is_in_tmp else "PrivateTmp=yes\n",
    }
