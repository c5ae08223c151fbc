"""Every key is explained once, where its type is: page, JSON Schema and messages agree."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gapless.config.reference import json_schema, keys, page
from gapless.config.toml import fleets, key_words, tables
from rig.json_schema import Schema

ROOT = Path(__file__).parents[3]
SCHEMA = Schema(json_schema.of_file())
EXAMPLES = sorted(ROOT.glob("examples/*/gapless.toml"))


def written() -> list[tuple[str, str, str]]:
    """Return of every key the table it is in, its name and its example."""
    found = []

    def walk(heading: str, schema: type[Any]) -> None:
        for key in keys.keys_of(schema):
            found.append((heading, key.name, key.example))
            for inner in key.tables:
                walk(f"{heading}.{key.name}", inner)

    for table in keys.TABLES:
        walk(f"{table.name}.x" if table.is_named else table.name, table.schema)
    return found


def test_every_key_has_a_description_and_an_example() -> None:
    """Nobody has to guess, not even of a key that is added tomorrow."""
    bare = [
        (table.name, key.name)
        for table in keys.TABLES
        for key in keys.keys_of(table.schema)
        if not (key.description.endswith(".") and key.example)
    ]
    assert bare == []
    assert [each for each in written() if not each[2]] == []


def test_the_page_is_what_the_code_says() -> None:
    """`make reference` writes it anew."""
    assert (ROOT / "docs" / "configuration.md").read_text() == page.text()


@pytest.mark.parametrize(("heading", "key", "example"), written())
def test_every_example_is_accepted(heading: str, key: str, example: str) -> None:
    """By the type that checks the file, and by the schema that editors have."""
    names = heading.split(".")
    found: Any = tomllib.loads(f"{key} = {example}\n")
    inner = names[2:] if names[1:2] == ["x"] else names[1:]
    for name in reversed(inner):
        found = {name: found}
    (table,) = [each for each in keys.TABLES if each.name == names[0]]
    for needed, value in (("command", "true"), ("base", "/")):
        if needed in {each.name for each in keys.keys_of(table.schema)}:
            found = {needed: value} | found
    msgspec.convert(found, table.schema, strict=True)
    whole = {table.name: {"x": found} if table.is_named else found}
    assert SCHEMA.mistakes(whole) == []


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda path: path.parent.name)
def test_the_schema_accepts_the_examples(file: Path) -> None:
    """What is shown to users has no mistake in an editor."""
    assert SCHEMA.mistakes(tomllib.loads(file.read_text())) == []


@pytest.mark.parametrize(
    "text",
    [
        'env = {}\ncommand = "true"',
        "instances = 2",
        'command = "true"\ninstances = 0',
        'command = "true"\nlog = "x"',
        'command = "true"\nready = "http"',
        'command = "true"\nready = { http = "health" }',
        'command = "true"\noutgoing = [70000]',
        'command = "true"\nshared_files = [""]',
        'command = "true"\naffinity = true',
    ],
)
def test_the_schema_refuses_what_the_command_refuses(tmp_path: Path, text: str) -> None:
    """An editor shows the mistake before `gapless check` does."""
    file = tmp_path / "gapless.toml"
    file.write_text(f"[app.x]\n{text}\n")
    assert SCHEMA.mistakes(tomllib.loads(file.read_text()))
    with pytest.raises(ValueError, match=r"app\.x"):
        tables.load(str(file), dict(os.environ))


def test_a_table_that_is_none_is_refused_in_the_words_of_the_file(
    tmp_path: Path,
) -> None:
    """Also at the top."""
    file = tmp_path / "gapless.toml"
    file.write_text('coordinator = 3\n[release.a]\nbase = "/"\n[rollout.a]\n')
    with pytest.raises(
        ValueError, match=r":1: coordinator: write it as \[coordinator\]"
    ):
        fleets.load(str(file), {})


def test_synonyms_are_of_keys_that_exist() -> None:
    """And no key is a synonym of another."""
    known = {key for _, key, _ in written()}
    assert set(key_words._SYNONYMS.values()) <= known
    apps = {key.name for key in keys.keys_of(keys.TABLES[0].schema)}
    assert apps.isdisjoint(key_words._SYNONYMS)
