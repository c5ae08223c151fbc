"""One declaration: the fields that a PM2 file sets for one app."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Declaration:
    """The fields of one app."""

    file: str
    """The name of the file in messages."""
    label: str
    """The label of the app in the file."""
    copy: int = 0
    """Its number, if another app before it in the file has the same name."""
    fields: dict[str, Any] = field(default_factory=dict)
    """By their names in fields.toml, in the units of a spec: seconds, bytes."""
    profiles: dict[str, dict[str, str]] = field(default_factory=dict)
    """The variables of each env_NAME, by NAME."""
    deployed: dict[str, dict[str, str]] = field(default_factory=dict)
    """The variables of `deploy.NAME.env` of the file, by NAME."""
    warnings: list[str] = field(default_factory=list)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a field, or *default* if the file does not set it."""
        return self.fields.get(name, default)

    def message_for(self, name: str, problem: str) -> str:
        """Return a message that names the file, the app and the field."""
        return f"{self.file}: {self.label}: {name}: {problem}"
