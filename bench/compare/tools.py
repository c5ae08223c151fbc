"""What is compared: gapless, PM2, and what a tool is (`foreground.py` has the others)."""

from __future__ import annotations

import json
from typing import Protocol

from bench.compare.app import BARE, INSTANCES, START_S, App, argv
from bench.compare.commands import end_all, run
from rig.hosts.host import GAPLESS, ROOT, Host
from rig.hosts.usage import children
from rig.wait import answers, until

PM2 = ROOT / "node" / "gapless-drain" / "node_modules" / ".bin" / "pm2"


class Tool(Protocol):
    """What runs an app, and releases it."""

    app: App

    def start(self) -> None:
        """Start the first version, and wait until it answers."""

    def own(self) -> list[int]:
        """Return the processes of the tool itself."""

    def serving(self) -> set[int]:
        """Return the processes that serve now."""

    def release(self) -> int | None:
        """Release what is in the app's directory; return the exit code, if there is one."""

    def close(self) -> None:
        """End everything."""


class Gapless:
    """gapless, as it is by default."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._host = Host(app.directory.parent)

    def start(self) -> None:
        """Start the first version, and wait until it answers."""
        app = self.app
        self._host.configure(
            "[app.app]\n"
            f"command = {json.dumps(argv(BARE[app.kind], app.port))}\n"
            f"directory = {json.dumps(str(app.directory))}\n"
            f"instances = {INSTANCES}\n"
            "[app.app.environment]\n"
            + "".join(
                f'{name} = "{text}"\n' for name, text in app.environment().items()
            )
        )
        self._host.start_file("gapless.toml", "app")
        until(lambda: answers(app.port), "the app under gapless", START_S)

    def own(self) -> list[int]:
        """Return supervisor, keeper and guardian."""
        return list(self._host.own_pids())

    def serving(self) -> set[int]:
        """Return the processes of the generation that serves."""
        return set(self._host.app("app")["pids"])

    def release(self) -> int | None:
        """Reload."""
        return run([str(GAPLESS), "reload", "app"], self._host)

    def close(self) -> None:
        """End everything."""
        self._host.close()


class Pm2:
    """PM2, in cluster mode."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._host = Host(app.directory.parent)
        self._home = self._host.directory / "pm2"
        self._host.environment["PM2_HOME"] = str(self._home)

    def start(self) -> None:
        """Start the first version, and wait until it answers."""
        declared = {
            "name": "app",
            "script": str(self.app.directory / "entry.js"),
            "cwd": str(self.app.directory),
            "exec_mode": "cluster",
            "instances": INSTANCES,
            "env": self.app.environment(),
        }
        file = self._host.directory / "app.json"
        file.write_text(json.dumps({"apps": [declared]}))
        assert run([str(PM2), "start", str(file)], self._host) == 0
        until(lambda: answers(self.app.port), "the app under PM2", START_S)

    def own(self) -> list[int]:
        """Return its daemon."""
        return [int((self._home / "pm2.pid").read_text())]

    def serving(self) -> set[int]:
        """Return the processes of the app."""
        return set(children(self.own()[0]))

    def release(self) -> int | None:
        """Reload."""
        return run([str(PM2), "reload", "app"], self._host)

    def close(self) -> None:
        """End everything."""
        run([str(PM2), "kill"], self._host)
        end_all(self._host)
