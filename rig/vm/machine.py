"""One virtual machine: start it, run commands in it, reboot it, end it."""

from __future__ import annotations

import contextlib
import itertools
import json
import shlex
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rig import wait
from rig.vm import settings

BOOT_S = 180.0
COMMAND_S = 600.0
_EMULATION = ("-accel", "tcg,thread=multi", "-cpu", "max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A command that has ended in a machine."""

    code: int
    """The exit code, or minus the number of a signal."""
    output: str
    """What it wrote to standard output and standard error."""


class Command:
    """A command that runs in a machine."""

    def __init__(self, machine: Machine, number: int) -> None:
        self._machine, self._number = machine, number
        self._lines: list[str] = []
        self._code: int | None = None
        self._ended = threading.Event()

    def take(self, message: dict[str, Any]) -> None:
        """Take in what the agent says of it."""
        self._lines += [message["output"]] if "output" in message else []
        if "code" in message:
            self._code = message["code"]
            self._ended.set()

    @property
    def output(self) -> str:
        """What it has written so far."""
        return "".join(self._lines)

    def has_written(self) -> bool:
        """Return whether it has written something."""
        return bool(self._lines)

    def send_signal(self, number: int) -> None:
        """Send its process group a signal."""
        self._machine.send({"id": self._number, "kill": number})

    def wait(self, timeout_s: float = COMMAND_S) -> Done:
        """Wait for its end.  Raises AssertionError if it takes longer."""
        if not self._ended.wait(timeout_s) or self._code is None:
            raise AssertionError(f"not within {timeout_s:g} s; so far: {self.output}")
        return Done(code=self._code, output=self.output)


class Machine:
    """A machine with a disk of its own, which begins as a copy of an image."""

    def __init__(
        self,
        directory: Path,
        image: Path,
        boot_files: tuple[Path, Path],
        *,
        cables: Sequence[str] = (),
        memory_mb: int = 1024,
        processors: int = 2,
    ) -> None:
        """Keep disk, logs and sockets in *directory*.

        Each of *cables* is what follows `-netdev`: there is no other network.
        """
        self.directory = directory
        self._image, self._boot_files = image, boot_files
        self._cables = cables
        self._size = ("-m", str(memory_mb), "-smp", str(processors))
        self._numbers = itertools.count(1)
        self._commands: dict[int, Command] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._lock = threading.Lock()
        self.boots: list[str] = []
        """The boot ids of its kernel, one for each boot that the agent told of."""

    # --- its life -----------------------------------------------------------------------

    def start(self) -> None:
        """Start it, and return when it runs commands.  Raises AssertionError."""
        self.directory.mkdir(exist_ok=True)
        disk, line = self.directory / "disk", self.directory / "line"
        if not disk.exists():
            subprocess.run(
                [
                    *("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw"),
                    *("-b", str(self._image), str(disk)),
                ],
                check=True,
            )
        line.unlink(missing_ok=True)
        before = len(self.boots)
        with (self.directory / "qemu.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._argv(disk, line), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait.until(line.exists, "the socket of qemu", 30)
        self._line = socket.socket(socket.AF_UNIX)
        self._line.connect(str(line))
        threading.Thread(target=self._listen, args=(self._line,), daemon=True).start()
        self._wait_for_boot(before)

    def _argv(self, disk: Path, line: Path) -> list[str]:
        kernel, initrd = self._boot_files
        networks = [
            word
            for number, cable in enumerate(self._cables)
            for word in (
                *("-netdev", f"{cable},id=n{number}"),
                *("-device", f"virtio-net-pci,netdev=n{number}"),
            )
        ]
        return [
            *("qemu-system-x86_64", *_EMULATION, *self._size, "-nodefaults"),
            *("-display", "none", "-serial", f"file:{self.directory / 'console.log'}"),
            *("-kernel", str(kernel), "-initrd", str(initrd)),
            *("-append", "root=/dev/vda rw console=ttyS0 quiet net.ifnames=0 panic=-1"),
            *("-drive", f"file={disk},if=virtio,format=qcow2,cache=unsafe"),
            *("-device", "virtio-rng-pci", "-device", "virtio-serial"),
            *("-chardev", f"socket,id=line,path={line},server=on,wait=off"),
            *("-device", f"virtserialport,chardev=line,name={settings.LINE}"),
            *(networks or ("-nic", "none")),
        ]

    def _wait_for_boot(self, before: int) -> None:
        def is_there() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, f"qemu ended: {self.console()}"
            return len(self.boots) > before

        try:
            wait.until(is_there, "the machine", BOOT_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.console()}") from None

    def reboot(self) -> None:
        """Reboot it as its user would, and return when it runs commands again."""
        before = len(self.boots)
        self.begin("systemctl", "reboot")
        self._wait_for_boot(before)

    def reset(self) -> None:
        """Take the power away, and start it again: what was not on its disk is lost."""
        self.end()
        self.start()

    def end(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)
            self._line.close()
            self._line = None

    def console(self) -> str:
        """Return the last lines of its console."""
        path = self.directory / "console.log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    # --- commands -------------------------------------------------------------------------

    def begin(
        self,
        *argv: str,
        user: str = "root",
        directory: str = "",
        environment: dict[str, str] | None = None,
    ) -> Command:
        """Start a command."""
        number = next(self._numbers)
        command = self._commands[number] = Command(self, number)
        message = {"id": number, "argv": argv, "user": user, "directory": directory}
        self.send(message | {"environment": environment or {}})
        return command

    def run(self, *argv: str, timeout_s: float = COMMAND_S, **options: Any) -> Done:
        """Run a command to its end; *options* are those of `begin`."""
        command = self.begin(*argv, **options)
        try:
            return command.wait(timeout_s)
        except AssertionError:
            command.send_signal(signal.SIGKILL)
            raise AssertionError(f"{shlex.join(argv)}: {command.output}") from None

    def ok(self, *argv: str, **options: Any) -> str:
        """Run a command that has to succeed; return its output."""
        done = self.run(*argv, **options)
        assert done.code == 0, f"{shlex.join(argv)}: {done.code}: {done.output}"
        return done.output

    def send(self, message: dict[str, Any]) -> None:
        """Send the agent a message."""
        assert self._line is not None, "the machine does not run"
        with self._lock:
            self._line.sendall(json.dumps(message).encode() + b"\n")

    def _listen(self, line: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), line.makefile("rb") as file:
            for received in file:
                message = json.loads(received)
                if "boot" in message:
                    self.boots.append(message["boot"])
                elif (command := self._commands.get(message["id"])) is not None:
                    command.take(message)
