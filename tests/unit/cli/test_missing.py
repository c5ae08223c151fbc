"""`gapless check` names what this host does not have, before an instance fails by it."""

from __future__ import annotations

from pathlib import Path

from gapless.cli.this_host import missing
from gapless.supervisor.memory.spec import AppSpec


def found(directory: Path, **fields: object) -> list[str]:
    """Return the warnings about one app."""
    spec = AppSpec(
        name="web",
        command=("/bin/true",),
        directory=str(directory),
        environment={},
        **fields,  # type: ignore[arg-type]  # those of a test
    )
    return missing.warnings({"web": spec})


def test_a_user_or_group_that_there_is_not_is_named(tmp_path: Path) -> None:
    """Each by its key; the file may be for another host, so it is a warning."""
    begins = "web: no instance would start here"
    assert found(tmp_path, user="no-such-user", group="no-such-group") == [
        f"{begins}: user = 'no-such-user': this host has none of that name",
        f"{begins}: group = 'no-such-group': this host has none of that name",
    ]
    assert found(tmp_path) == []


def test_an_environment_file_that_there_is_not_is_named(tmp_path: Path) -> None:
    """In the words of the start that would fail; one with - may be missing."""
    (warning,) = found(tmp_path, environment_files=(".env",))
    assert (
        f"could not read the environment file {tmp_path}/.env: there is none" in warning
    )
    assert found(tmp_path, environment_files=("-.env",)) == []
    (tmp_path / ".env").write_text("A=1\n")
    assert found(tmp_path, environment_files=(".env",)) == []
