"""How gapless starts interpreters of its own."""

from __future__ import annotations

import contextlib
import gc
import subprocess
import sys
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


def test_what_is_imported_later_is_there_before_files_are_out_of_reach() -> None:
    """Also for who has imported it already, and has asked it for nothing."""
    done = subprocess.run(
        [
            *(sys.executable, "-I", "-S", "-c"),
            "import sys; sys.path.append(sys.argv[1])\n"
            "from gapless.base import interpreter\n"
            "import zlib\n"
            "print('crc32' in vars(zlib))\n"
            "interpreter.import_now()\n"
            "sys.path.clear(); sys.meta_path.clear()\n"
            "print('crc32' in vars(zlib))\n"
            "import random, zlib as again\n"
            "print(again.crc32(b''), random.random() < 1)",
            str(Path(interpreter.__file__).parents[2]),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "True", "0", "True"]
