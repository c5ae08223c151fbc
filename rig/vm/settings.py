"""How a machine is set up: users, the kernel's settings, and the agent."""

from __future__ import annotations

import inspect
import os
import shutil
import sys
from pathlib import Path

from rig.vm import agent

USER, USER_ID = "ada", 1000
"""The ordinary user."""
LINE = "gapless.rig"
"""The name of the serial line on which the agent listens."""
AGENT = f"""
[Unit]
Description=Runs the commands of the tests

# Its device may come later than it does.
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/bin/python3 /usr/local/lib/rig-agent.py /dev/virtio-ports/{LINE}
Restart=always
RestartSec=1
KillMode=process
Delegate=yes

[Install]
WantedBy=multi-user.target
"""
FILES = {
    "etc/hostname": "machine\n",
    "etc/hosts": "127.0.0.1 localhost machine\n::1 localhost\n",
    "etc/fstab": "/dev/vda / ext4 defaults 0 0\n",
    "etc/sysctl.d/99-rig.conf": "kernel.yama.ptrace_scope = 1\n",
    "etc/systemd/system/rig-agent.service": AGENT,
}
_UNWANTED_UNITS = (
    *(
        "nginx",
        "nfs-server",
        "rpcbind",
        "rpcbind.socket",
        "rpc-statd",
        "nfs-blkmap",
        "e2scrub_all.timer",
    ),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "fstrim.timer", "getty@tty1"),
    *(
        "systemd-timesyncd",
        "dpkg-db-backup.timer",
        "logrotate.timer",
        "serial-getty@ttyS0",
    ),
)
"""What would start with the machine, and the tests start themselves."""


def source() -> bytes:
    """Return everything that decides what `write` writes."""
    modules = (sys.modules[__name__], agent)
    return "".join(map(inspect.getsource, modules)).encode()


def write(tree: Path) -> None:
    """Set up a tree; what an earlier version of this file wrote is written over."""
    for name, content in FILES.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    shutil.copy(agent.__file__, tree / "usr/local/lib/rig-agent.py")
    units = tree / "etc/systemd/system"
    _link(units / "multi-user.target.wants/rig-agent.service", "../rig-agent.service")
    for unit in _UNWANTED_UNITS:
        name = unit if "." in unit else f"{unit}.service"
        _link(units / name, "/dev/null")
    for file, line in (
        ("passwd", f"{USER}:x:{USER_ID}:{USER_ID}::/home/{USER}:/bin/bash\n"),
        ("group", f"{USER}:x:{USER_ID}:\n"),
        ("shadow", f"{USER}:*:19000:0:99999:7:::\n"),
    ):
        path = tree / "etc" / file
        if line not in path.read_text():
            path.write_text(path.read_text() + line)
    home = tree / "home" / USER
    home.mkdir(exist_ok=True)
    os.chown(home, USER_ID, USER_ID)
    # The user's own units run without a login.
    linger = tree / "var/lib/systemd/linger"
    linger.mkdir(parents=True, exist_ok=True)
    (linger / USER).touch()


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)
