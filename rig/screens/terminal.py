"""A terminal of a size, by tmux: what stands on it, and what is typed into it."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rig import wait


class Terminal:
    """One terminal; a shell runs a command in it, and stays when that has ended."""

    def __init__(self, directory: Path, columns: int, lines: int) -> None:
        self._socket = str(directory / "tmux")
        self._tmux(
            *("-f", "/dev/null", "new-session", "-d", "-x", str(columns)),
            *("-y", str(lines), "-c", str(directory), "sh"),
        )
        self._tmux("set", "-g", "window-size", "manual")

    def run(self, argv: Sequence[object], environment: Mapping[str, str]) -> None:
        """Type a command, with these variables added to the shell's own."""
        words = [f"{name}={value}" for name, value in environment.items()]
        line = shlex.join(["env", *words, *map(str, argv)])
        script = Path(self._socket).with_name("command.sh")
        script.write_text(f"clear\n{line}\necho ended with $?\n")
        self.type(". ./command.sh", "Enter")

    def type(self, *keys: str) -> None:
        """Type keys, by tmux's names."""
        self._tmux("send-keys", *keys)

    def resize(self, columns: int, lines: int) -> None:
        """Give it another size."""
        self._tmux("resize-window", "-x", str(columns), "-y", str(lines))

    def text(self) -> str:
        """Return what stands on it now."""
        return self._tmux("capture-pane", "-p")

    def painted(self) -> str:
        """Return what stands on it, with the control sequences of its colours."""
        return self._tmux("capture-pane", "-p", "-e")

    def shows_cursor(self) -> bool:
        """Return whether the cursor can be seen."""
        return self._tmux("display", "-p", "#{cursor_flag}").strip() == "1"

    def wait_for(self, *words: str, timeout_s: float = 30.0) -> str:
        """Wait until all these words stand on it; return the text."""

        def found() -> str:
            text = self.text()
            return text if all(word in text for word in words) else ""

        try:
            return wait.until(found, f"{words} on the terminal", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.text()}") from None

    def close(self) -> None:
        """End tmux, and what runs in it."""
        self._tmux("kill-server")

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, *words],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        return done.stdout


@contextmanager
def terminal(directory: Path, columns: int = 80, lines: int = 24) -> Iterator[Terminal]:
    """Make a terminal; when the block ends, end it."""
    found = Terminal(directory, columns, lines)
    try:
        yield found
    finally:
        found.close()
