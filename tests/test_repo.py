"""What holds for every file of this repository."""

from __future__ import annotations

import ast
import collections
import io
import json
import os
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "packages" / "gapless" / "src" / "gapless"
SOURCES = (PACKAGE.parent, ROOT / "packages" / "gapless-drain" / "src", ROOT)
OURS = ("gapless.", "gapless_drain.", "rig.")
LONGEST_LINES = 500
MOST_FILES = 14
"""More files side by side are a heap, in which nobody finds the place for a change."""
FIRST_SCREEN_LINES = 40
NOT_OURS = {
    "build",
    "dist",
    "node_modules",
    "__pycache__",
}  # and what begins with a dot
REFUSED_WORDS = {
    word + ending
    for word in (
        *("worker", "node", "server", "service", "manager", "handler", "helper"),
        *("util", "common", "misc", "data", "info"),
    )
    for ending in ("", "s")
}
# In pieces, so that this file does not hold what it refuses.
REFUSED_TEXTS = tuple(
    "".join(pieces)
    for pieces in (
        ("/work", "/main"),
        ("/work", "/shared"),
        ("/ro", "ot/"),
        ("/opt", "/pypi"),
        (".py", "env/"),
        ("py", "pi.org"),
        ("python", "hosted"),
        ("npm", "js."),
    )
)
REASONLESS = re.compile(
    r"#\s*noqa(?!: [A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)* +(-|#) \w)"
    r"|#\s*type: ignore(?!\[[a-z, -]+\] +(-|#) \w)"
)
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:|#)<?([^)#\s>]+)")
NAMED_FILE = re.compile(r"`([a-z_0-9/-]+(?:\.(?:py|toml|md)|/))`")
CLASS = re.compile(r"^ *class (\w+)", re.MULTILINE)
MAKE = re.compile(r"`make ([a-z-]+)")
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)


def files(*suffixes: str) -> Iterator[Path]:
    """Return the files of the repository that end in one of the suffixes."""
    for directory, inside, names in os.walk(ROOT):
        inside[:] = [
            name
            for name in inside
            if name not in NOT_OURS and (not name.startswith(".") or name == ".ci")
        ]
        for name in names:
            if name != ".git" and (not suffixes or name.endswith(suffixes)):
                yield Path(directory, name)


def here(path: Path) -> str:
    """Return a path as it is shown."""
    return str(path.relative_to(ROOT))


def trees(*directories: Path, having: str = "") -> Iterator[tuple[Path, ast.Module]]:
    """Return every Python file below the directories that has a text, parsed."""
    for path in files(".py"):
        if any(path.is_relative_to(directory) for directory in directories):
            text = path.read_text()
            if having in text:
                yield path, ast.parse(text)


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Return every statement of a file, at any depth."""
    for each in ast.iter_child_nodes(tree):
        if isinstance(each, (ast.stmt, ast.excepthandler, ast.match_case)):
            yield each
            yield from statements(each)


def imported(tree: ast.AST) -> Iterator[str]:
    """Return the top-level names that a file imports, at any depth."""
    for found in statements(tree):
        if isinstance(found, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in found.names)
        elif isinstance(found, ast.ImportFrom) and found.module and not found.level:
            yield found.module.partition(".")[0]


def imports_between_files() -> Iterator[tuple[str, set[str]]]:
    """Return, for every module of ours, the modules of ours that it imports."""
    modules = {}
    for source in SOURCES:
        for path in files(".py"):
            if path.is_relative_to(source):
                modules[".".join(path.relative_to(source).with_suffix("").parts)] = path
    modules = {name: p for name, p in modules.items() if name.startswith(OURS)}
    for name, path in modules.items():
        found = set()
        for node in statements(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
        yield name, found & modules.keys() - {name}


def reached(edges: dict[str, set[str]], start: str) -> set[str]:
    """Return what can be reached from a module by its imports."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = edges.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def words(identifier: str) -> set[str]:
    """Return the words of an identifier in snake or camel case, in lower case."""
    return {w.lower() for w in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", identifier)}


def test_no_python_file_is_too_long_to_read() -> None:
    """A file beyond the limit holds two things."""
    long = {here(path): len(path.read_text().splitlines()) for path in files(".py")}
    assert {name: n for name, n in long.items() if n > LONGEST_LINES} == {}


def test_no_folder_is_a_heap() -> None:
    """About a dozen files stand side by side, with and without __init__.py."""
    counts = collections.Counter(
        here(path.parent)
        for path in files(".py")
        if path.name != "__init__.py" and not path.is_relative_to(ROOT / "tests")
    )
    assert {name: n for name, n in counts.items() if n > MOST_FILES} == {}


def test_no_files_import_each_other_in_a_circle() -> None:
    """Not even for types: what two files share stands in a third."""
    edges = dict(imports_between_files())
    circles = [name for name in edges if name in reached(edges, name)]
    assert circles == []


def test_a_circle_is_found() -> None:
    """The rule above bites, however long the way round is."""
    edges = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    assert [name for name in edges if name in reached(edges, name)] == ["a", "b", "c"]


def test_no_file_names_a_machine_or_a_registry() -> None:
    """What is here works anywhere: pip, uv and npm know their index themselves."""
    found = []
    for path in files():
        text = path.read_bytes().decode(errors="replace").lower()
        found += [(here(path), refused) for refused in REFUSED_TEXTS if refused in text]
    assert found == []


def test_every_exception_to_a_rule_has_its_reason_on_its_line() -> None:
    """A noqa or type-ignore names its rule, and says why."""
    found = [
        f"{here(path)}:{token.start[0]}: {token.string}"
        for path in files(".py")
        if REASONLESS.search(text := path.read_text())  # it may be in a string
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT and REASONLESS.search(token.string)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("comment", "refused"),
    [
        ("# noqa", True),
        ("# noqa: S101", True),
        ("# noqa: S101 - why it is so", False),
        ("# noqa: S101, S102 - why it is so", False),
        ("# type: ignore", True),
        ("# type: ignore[attr-defined]", True),
        ("# type: ignore[attr-defined]  # it has no public name", False),
        ("# a plain remark", False),
    ],
)
def test_a_reason_is_told_from_none(comment: str, *, refused: bool) -> None:
    """The rule above bites."""
    assert bool(REASONLESS.search(comment)) is refused


def test_no_test_sleeps() -> None:
    """Tests wait on facts: rig.wait."""
    found = [
        f"{here(path)}:{call.lineno}"
        for path, tree in trees(ROOT / "tests", having="sleep(")
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) in ("time.sleep", "sleep", "asyncio.sleep")
    ]
    assert found == []


def test_programs_of_the_bench_and_the_rig_clean_up_at_sigterm() -> None:
    """What they have in temporary directories, hosts of gapless too, ends with them."""
    entry, blocks = '__name__ == "__main__"', ("temporary_host(", "TemporaryDirectory(")
    found = [
        here(path)
        for path in files(".py")
        if here(path).startswith(("bench/", "rig/"))
        and entry in (text := path.read_text())
        and (here(path).startswith("bench/") or any(each in text for each in blocks))
        and "clean_up_at_sigterm()\n" not in text.partition(entry)[2]
    ]
    assert found == []


def test_no_name_is_one_that_says_nothing() -> None:
    """The words that the glossary refuses are in no module's and no class's name."""
    found = []
    for path in files(".py"):
        if not any(
            map(path.is_relative_to, (PACKAGE, ROOT / "rig", ROOT / "bench"))
        ) or path.is_relative_to(ROOT / "rig" / "apps"):
            continue
        names = [path.stem]
        text = path.read_text()
        if any(words(name) & REFUSED_WORDS for name in CLASS.findall(text)):
            classes = (
                n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ClassDef)
            )
            names += [each.name for each in classes]
        found += [(here(path), name) for name in names if words(name) & REFUSED_WORDS]
    assert found == []


def test_supervisor_and_keeper_import_the_standard_library_only() -> None:
    """They start in an interpreter that sees nothing else."""
    parts = [PACKAGE / name for name in ("supervisor", "keeper", "base")]
    allowed = sys.stdlib_module_names | {"gapless"}
    found = [
        (here(path), name)
        for path, tree in trees(*parts)
        for name in imported(tree)
        if name not in allowed
        # The relay is a process of its own, and reads the heads of HTTP.
        and not (name == "h11" and "relay" in path.parts)
    ]
    assert found == []


def test_python_locks_have_a_hash_for_everything() -> None:
    """And name no place to get it from."""
    locks = list(files(".lock"))
    assert locks
    for path in locks:
        text = path.read_text()
        assert "//" not in text, here(path)
        pinned = re.findall(
            r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", text, re.DOTALL | re.MULTILINE
        )
        assert pinned, here(path)
        assert [p for p in pinned if "==" not in p or "--hash=sha256:" not in p] == []


def test_npm_locks_have_a_digest_for_everything() -> None:
    """And name no place to get it from."""
    for path in files("package-lock.json"):
        for name, package in json.loads(path.read_text())["packages"].items():
            assert "resolved" not in package, (here(path), name)
            assert not name or "integrity" in package, (here(path), name)


def test_ci_runs_make_test() -> None:
    """What the README tells to run is what is run."""
    text = (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert [line for line in text.splitlines() if line.startswith("make")] == [
        "make test"
    ]
    assert text.rstrip().endswith("make test")


def test_readme_gives_the_two_commands_first() -> None:
    """Whoever opens the README sees how to try it and how to test it."""
    lines = (ROOT / "README.md").read_text().splitlines()
    first_screen = "\n".join(lines[:FIRST_SCREEN_LINES])
    assert "make demo" in first_screen
    assert "make test" in first_screen


def test_the_chinese_readme_says_what_the_english_one_says() -> None:
    """The same links, the same figures, in the same blocks of commands."""
    english, chinese = (
        (ROOT / name).read_text() for name in ("README.md", "README.zh-CN.md")
    )

    def facts(page: str) -> list[str]:
        found = [target.replace(".zh-CN", "") for target in LINK.findall(page)]
        found += re.findall(r"\d+(?:[.,]\d+)*", page)
        return sorted(found)

    assert facts(english) == facts(chinese)


def test_every_link_of_a_page_resolves() -> None:
    """A link to a file of this repository leads to a file of this repository."""
    found = [
        (here(page), target)
        for page in files(".md")
        for target in LINK.findall(page.read_text())
        if not (page.parent / target).exists()
    ]
    assert found == []


def test_every_file_that_the_architecture_names_exists() -> None:
    """A file is named from the package, from the room under discussion, or from here."""
    named = set(NAMED_FILE.findall((ROOT / "docs" / "architecture.md").read_text()))
    existing = "\n".join(f"/{here(path)}\n" for path in files())
    assert named
    assert [n for n in named if f"/{n}" + "\n" * (n[-1] != "/") not in existing] == []


def test_every_make_target_of_a_page_exists() -> None:
    """Nobody is told to type what does not work."""
    targets = set(TARGET.findall((ROOT / "Makefile").read_text()))
    found = [
        (here(page), target)
        for page in files(".md")
        for target in MAKE.findall(page.read_text())
        if target not in targets
    ]
    assert found == []


def test_every_example_says_how_it_is_started() -> None:
    """An example is a directory with a gapless.toml that begins with its commands."""
    for directory in sorted((ROOT / "examples").iterdir()):
        text = (directory / "gapless.toml").read_text()
        assert text.startswith(f"# cd examples/{directory.name} && "), here(directory)
        first = text.splitlines()[0]
        started = [f"gapless start {name}" for name in ("gapless.toml", "app.json")]
        assert any(command in first for command in started), here(directory)


def test_every_how_to_page_is_followed_by_a_test() -> None:
    """A page of docs/howto is named in a module of tests/process/howto."""
    tests = "".join(
        path.read_text() for path in (ROOT / "tests/process/howto").glob("test_*.py")
    )
    pages = sorted((ROOT / "docs" / "howto").glob("*.md"))
    assert pages
    assert [here(page) for page in pages if f'"{page.stem}"' not in tests] == []
