"""How Python runs gapless: in interpreters of its own, and with few modules.

`importlib.util.LazyLoader` does not postpone an import that another module makes: `import`
looks at `__spec__`, which loads the module.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from typing import Any

_BOOT = (
    "import sys; sys.path.append(sys.argv[1]); "
    "import importlib, os; importlib.import_module(sys.argv[2]).main(sys.argv[3:]); "
    "sys.stdout and sys.stdout.flush(); os._exit(0)"
)
"""At its end a process does not take its modules apart: that is work for nothing."""


def python(module: str, arguments: list[str], *, libraries: bool = False) -> list[str]:
    """Return the command that runs `main` of a gapless module.

    It finds the standard library only, unless it needs *libraries* (`site`).
    """
    package = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    light = [] if libraries else ["-S"]
    return [sys.executable, "-I", *light, "-c", _BOOT, package, module, *arguments]


def import_later(name: str) -> None:
    """Let a module be imported when something of it is used, unless it is there already."""
    sys.modules.setdefault(name, _Later(name))


class _Later(types.ModuleType):
    """Stands for a module until one of its names is asked for."""

    def __getattr__(self, name: str) -> Any:
        """Import the module, and return what it has by that name."""
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            sys.modules.pop(self.__name__, None)
        module = importlib.import_module(self.__name__)
        self.__dict__.update(vars(module))
        return getattr(module, name)
