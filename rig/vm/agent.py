"""In a machine: run the commands that come over its serial line.

Each line is JSON.  The host sends `{"id", "argv", "user", "environment", "directory"}` to
start a command, and `{"id", "kill": NUMBER}` to send its process group a signal.  Back come
`{"boot": ID}` when the line is open, `{"id", "output"}` as it is printed, and at last
`{"id", "code"}` as of subprocess.  This file alone is in the image, so it imports only the
standard library.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import threading
from typing import Any, BinaryIO

BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Agent:
    """One line to the host, and the commands that run."""

    def __init__(self, line: BinaryIO) -> None:
        self._line = line
        self._lock = threading.Lock()
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def send(self, **message: Any) -> None:
        """Send a message."""
        with self._lock:
            self._line.write(json.dumps(message).encode() + b"\n")
            self._line.flush()

    def take(self, message: dict[str, Any]) -> None:
        """Do what a message asks for: a command has started when this returns."""
        number = message["id"]
        if "kill" in message:
            process = self._running.get(number)
            if process is not None and process.poll() is None:
                os.killpg(process.pid, message["kill"])
            return
        try:
            process = _start(message)
        except (OSError, KeyError, ValueError) as error:
            self.send(id=number, output=f"{type(error).__name__}: {error}\n")
            self.send(id=number, code=127)
            return
        # Entered here and not in the thread, so that the next message finds it.
        self._running[number] = process
        threading.Thread(
            target=self._follow, args=(number, process), daemon=True
        ).start()

    def _follow(self, number: int, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.send(id=number, output=line.decode(errors="replace"))
        code = process.wait()
        self._running.pop(number, None)
        self.send(id=number, code=code)


def _start(message: dict[str, Any]) -> subprocess.Popen[bytes]:
    user = pwd.getpwnam(message["user"])
    environment = {
        "HOME": user.pw_dir,
        "USER": user.pw_name,
        "LOGNAME": user.pw_name,
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "XDG_RUNTIME_DIR": f"/run/user/{user.pw_uid}",
    }
    return subprocess.Popen(
        message["argv"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=message["directory"] or user.pw_dir,
        env=environment | message["environment"],
        start_new_session=True,
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=os.getgrouplist(user.pw_name, user.pw_gid),
    )


def main(path: str) -> None:
    """Serve the line at *path* until the machine ends."""
    with open(path, "r+b", buffering=0) as line:
        agent = Agent(line)
        with open(BOOT_ID, encoding="ascii") as file:
            agent.send(boot=file.read().strip())
        rest = b""
        while True:
            received = line.read(65_536)
            if not received:  # nobody is at the other end yet
                threading.Event().wait(0.2)
                continue
            *lines, rest = (rest + received).split(b"\n")
            for each in lines:
                agent.take(json.loads(each))


if __name__ == "__main__":
    main(sys.argv[1])
