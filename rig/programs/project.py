"""A directory with programs in it, and declarations of them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from gapless.base.errors import GaplessError
from gapless.config.choice import Choice
from gapless.config.declarations import declaration_file
from gapless.supervisor.memory import spec


class Project:
    """A directory with a program, and declarations of it."""

    def __init__(self, directory: Path, home: Path) -> None:
        self.directory, self.home = directory, home
        for name in ("index.js", "job.py", "run.sh", "app.ts"):
            (directory / name).write_text("")
        self.environment = {"PATH": os.environ["PATH"], "HOME": "/root", "SHELL": "sh"}

    def load(self, declared: Any, **options: Any) -> dict[str, spec.AppSpec]:
        """Return what a JSON file with this in it asks for, and keep the warnings."""
        text = declared if isinstance(declared, str) else json.dumps(declared)
        return self.read("app.json", text, **options)

    def read(self, name: str, text: str, **options: Any) -> dict[str, spec.AppSpec]:
        """Return what a file asks for."""
        (self.directory / name).write_text(text)
        choice = Choice(environment=self.environment, **options)
        loaded = declaration_file(name).load(choice)
        self.warnings = loaded.warnings
        return loaded.apps

    def one(self, script: str = "index.js", **declared: Any) -> spec.AppSpec:
        """Return the one app with these fields."""
        profile = declared.pop("profile", "")
        (built,) = self.load({"script": script, **declared}, profile=profile).values()
        return built

    def complaint(self, **declared: Any) -> str:
        """Return what is said of these fields."""
        try:
            self.load({"name": "shop", "script": "index.js", **declared})
        except GaplessError as error:
            return error.message
        raise AssertionError(f"{declared} is accepted")
