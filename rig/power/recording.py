"""Let commands happen under strace; go through the moments at which power may be lost."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rig import wait
from rig.power import trace
from rig.power.disk import Disk
from rig.power.trace import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A moment after one change of the disk."""

    number: int
    what: str
    """The call that was the last."""
    begun: int
    """How many commands had begun; the first of them is 1."""
    done: int
    """How many had said that they were done."""
    disk: Disk


class Recording:
    """A shell under strace, and the disk below one directory."""

    def __init__(
        self, root: Path, beside: Path, environment: Mapping[str, str]
    ) -> None:
        """Begin; *beside* is an empty directory that is not below *root*."""
        self._root, self._beside = str(root), beside
        self._begin = Disk(self._root)
        self._trace, self._marks = beside / "trace", beside / "marks"
        self._marks.mkdir()
        self._count = 0
        self._shell = subprocess.Popen(
            [*trace.ARGV, "-o", str(self._trace), "sh"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=beside,
            env=dict(environment),
            text=True,
        )

    def run(
        self, argv: Sequence[str], *, directory: Path, is_marked: bool = True
    ) -> tuple[int, str]:
        """Run a command to its end; return its exit code and what it printed.

        Unless *is_marked*, it makes the marks of its steps itself.
        """
        self._count += 1
        begun, done = f"begun-{self._count}", f"done-{self._count}"
        marks = self._marks if is_marked else self._beside
        output, code = self._beside / "output", self._beside / "code"
        assert self._shell.stdin is not None
        self._shell.stdin.write(
            f"mkdir {marks / begun}; (cd {shlex.quote(str(directory))} && "
            f"{shlex.join(argv)}) >{output} 2>&1 </dev/null; echo $? >{code}; "
            f"mkdir {marks / done}\n"
        )
        self._shell.stdin.flush()
        wait.until((marks / done).exists, f"{argv} to end", 60)
        return int(code.read_text()), output.read_text()

    def end(self) -> None:
        """End; whoever calls this has ended what the commands have left running."""
        assert self._shell.stdin is not None
        self._shell.stdin.close()
        try:
            self._shell.wait(timeout=20 * wait.SLOWER)
        finally:
            self._shell.kill()
            self._shell.wait()

    def moments(self) -> Iterator[Moment]:
        """Yield each moment; its disk goes on to the next one.

        Raises AssertionError if what was repeated is not what has happened.
        """
        disk, number, begun, done = self._begin, 0, 0, 0
        for call in trace.Reader().read(str(self._trace)):
            path = call.paths[0] if call.paths else ""
            if call.name == "mkdir" and path.startswith(f"{self._marks}/"):
                begun += "/begun-" in path
                done += "/done-" in path
            elif not disk.does(call):
                continue
            number += 1
            yield Moment(
                number=number, what=_shown(call), begun=begun, done=done, disk=disk
            )
        assert disk.differences() == []


def _shown(call: Call) -> str:
    return f"{call.name} {' '.join(call.paths)}"
