"""How gapless starts interpreters of its own."""

from __future__ import annotations

import contextlib
import gc
import subprocess
from pathlib import Path

from gapless.base import interpreter


def import_what_fails() -> None:
    """Raise ImportError; no garbage is looked for meanwhile."""
    assert not gc.isenabled()
    raise ImportError


def test_garbage_is_looked_for_again_after_imports() -> None:
    """Also if one of them failed."""
    assert gc.isenabled()
    with contextlib.suppress(ImportError), interpreter.importing():
        import_what_fails()
    assert gc.isenabled()


def test_a_module_is_imported_without_a_search_and_runs_with_it(tmp_path: Path) -> None:
    """What it creates in hours has to be freed."""
    (tmp_path / "probe.py").write_text(
        "import gc\n"
        "first = gc.isenabled()\n"
        "def main(words): print(first, gc.isenabled(), words)\n"
    )
    command = interpreter.python("probe", ["a word"])
    package = str(Path(interpreter.__file__).parents[2])
    command[command.index(package)] = str(tmp_path)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "False True ['a word']\n"
