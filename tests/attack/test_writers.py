"""Every file that gapless writes is in `docs/disk.md`: durable, or a hint."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import gapless

PACKAGE = Path(gapless.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "disk.md"
THE_ONE = "base/files.py"
NO_FILES = {
    "__main__.py": "/dev/null",
    "base/kernel/cgroups.py": "control groups",
    "base/set_aside.py": "by `files.rename`; the page says of which",
    "cli/output.py": "/dev/null",
    "cli/publisher/output.py": "/dev/null",
    "cli/terminal/outlet.py": "/dev/null",
    "keeper/exec_program.py": "control groups",
    "keeper/guardian/scratch.py": "memory (memfd_create)",
    "rehearsal/stage/network.py": "/proc",
    "supervisor/kernel/controllers.py": "control groups",
    "supervisor/observe/instance_groups.py": "control groups",
}
"""Modules whose calls look as if they wrote a file, and what they do write."""
CHANGES = {
    *("os.rename", "os.renames", "os.replace", "os.link", "os.symlink", "os.unlink"),
    *("os.remove", "os.rmdir", "os.removedirs", "os.mkdir", "os.makedirs", "os.mknod"),
    *("os.mkfifo", "os.truncate", "os.ftruncate", "reached_path.rename"),
    *("files.write_atomically", "files.write_json", "files.write_new"),
    *("files.write_over", "files.open_to_append", "files.make_directories"),
    *("files.rename", "files.remove", "files.unlink_own", "paths.make_own"),
}
SYNCS = {"os.fsync", "os.fdatasync", "os.sync"}
METHODS = (".write_text", ".write_bytes", ".symlink_to", ".hardlink_to")
MODULES = (
    "shutil.copy",
    "shutil.move",
    "shutil.rmtree",
    "tempfile.mk",
    "tempfile.Named",
)
OPENS = {"open", "os.open", "files.open_own", "reached_path.open_file"}
OF_HINTS = {"files.write_over", "files.write_new", "files.open_to_append"}


@functools.cache  # not at import: each process of pytest imports every test
def _calls() -> dict[str, list[tuple[str, str]]]:
    """Return by module its calls: what is called, and all of it."""
    return {
        str(path.relative_to(PACKAGE)): [
            (name := ast.unparse(node.func), _all_of(node, name))
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
        ]
        for path in PACKAGE.rglob("*.py")
    }


def _all_of(call: ast.Call, name: str) -> str:
    """Return all of a call if its arguments matter."""
    is_said = any(keyword.arg == "durable" for keyword in call.keywords)
    return ast.unparse(call) if is_said or name in OPENS | OF_HINTS else name


def _writes(name: str, call: str) -> bool:
    """Return whether a call changes a file or a name."""
    if name in CHANGES or name.endswith(METHODS) or name.startswith(MODULES):
        return True
    opens_to_write = any(word in call for word in ("O_CREAT", "O_WRONLY", "O_RDWR"))
    if name in OPENS - {"open"}:
        return opens_to_write
    mode = re.search(r"""open\([^,]+, '([^']*)'""", call) if name == "open" else None
    return mode is not None and bool(set(mode[1]) & set("wax+"))


def _rows() -> dict[str, str]:
    """Return by module what the page says of the files that it writes."""
    found: dict[str, str] = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 4:
            for module in re.findall(r"`([a-z_/0-9]+\.py)`", cells[1]):
                found[module] = f"{found.get(module, '')} {cells[2]}".strip()
    return found


def test_every_writer_is_on_the_page() -> None:
    """Whether what it writes outlives a loss of power was decided, and is written down."""
    writers = {
        module
        for module, calls in _calls().items()
        if any(_writes(name, call) for name, call in calls)
    }
    assert sorted(writers - set(_rows()) - set(NO_FILES) - {THE_ONE}) == []
    assert sorted(set(_rows()) - set(_calls())) == []
    assert sorted(set(NO_FILES) - writers) == []
    assert sorted(set(NO_FILES) & set(_rows())) == []


def test_one_file_syncs() -> None:
    """A sync elsewhere would be one that nobody thinks of when the order changes."""
    syncing = {
        module
        for module, calls in _calls().items()
        if any(name in SYNCS or "syncfs" in name for name, _ in calls)
    }
    assert syncing == {THE_ONE}


def test_what_is_durable_is_synced() -> None:
    """A module of which every row says `durable` writes by no call that does not sync."""
    wrong = []
    for module, kinds in _rows().items():
        if "hint" in kinds:
            continue
        calls = _calls()[module]
        wrong += [
            f"{module}: {call}"
            for name, call in calls
            if name in OF_HINTS or "durable=False" in call
        ]
        names = {name for name, _ in calls}
        is_raw = bool(names & {each for each in CHANGES if each.startswith("os.")})
        syncs = {"files.rename", "files.remove", "files.write_atomically"} & names
        if is_raw and not syncs and not any(".sync" in name for name in names):
            wrong.append(f"{module}: nothing is synced")
    assert wrong == []
