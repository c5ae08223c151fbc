"""How Python runs gapless: in interpreters of its own, and with few modules.

`importlib.util.LazyLoader` does not postpone an import that another module makes: `import`
looks at `__spec__`, which loads the module.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
import types
from collections.abc import Iterator
from typing import Any

_BOOT = (
    "import sys; sys.path.append(sys.argv[1]); "
    "import gc, importlib, os; gc.disable(); "
    "main = importlib.import_module(sys.argv[2]).main; gc.enable(); main(sys.argv[3:]); "
    "sys.stdout and sys.stdout.flush(); os._exit(0)"
)
"""Two pieces of work would be for nothing: to look for garbage while modules are imported,
as they leave none, and to take them apart at the end of a process.
"""

_BOOT_SUCCESSOR = """
import sys
sys.path.append(sys.argv[1])
try:
    import importlib
    importlib.import_module(sys.argv[2]).main(sys.argv[3:])
except Exception as error:
    import json, os, signal
    given = json.loads(sys.argv[-1])
    if given.get("trial"):
        raise
    pid, reason = given["serving"], {"message": f"{type(error).__name__}: {error}"}
    os.write(given["line"], json.dumps(reason).encode()[:32000])
    os.closerange(3, max(map(int, os.listdir("/proc/self/fd"))) + 1)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda each, _: os.kill(pid, each))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 255)
"""
"""Where not even the module can be imported: what `upgrade.successor` does then."""


def successor(module: str) -> list[str]:
    """Return the command of a version that is to take the place of the one that runs.

    Its last argument is what it is handed (`upgrade.inheritance`).
    """
    boot = python(module, [])
    boot[boot.index(_BOOT)] = _BOOT_SUCCESSOR
    return boot


def python(module: str, arguments: list[str], *, libraries: bool = False) -> list[str]:
    """Return the command that runs `main` of a gapless module.

    It finds the standard library only, unless it needs *libraries* (`site`).
    """
    package = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    light = [] if libraries else ["-S"]
    return [sys.executable, "-I", *light, "-c", _BOOT, package, module, *arguments]


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Look for no garbage while much is imported: there is none."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def import_later(name: str) -> None:
    """Let a module be imported when something of it is used, unless it is there already."""
    sys.modules.setdefault(name, _Later(name))


def import_now() -> None:
    """Import all that was to be imported later: soon nothing can be opened any more."""
    for module in [each for each in sys.modules.values() if isinstance(each, _Later)]:
        module.load()


class _Later(types.ModuleType):
    """Stands for a module until one of its names is asked for."""

    def __getattr__(self, name: str) -> Any:
        """Import the module, and return what it has by that name."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.load(), name)

    def load(self) -> types.ModuleType:
        """Import the module; whoever has this one finds its names here."""
        if sys.modules.get(self.__name__) is self:
            sys.modules.pop(self.__name__, None)
        module = importlib.import_module(self.__name__)
        self.__dict__.update(vars(module))
        return module
