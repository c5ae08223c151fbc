"""What PM2 does with programs and with `deploy`, beyond the fields of a declaration."""

from __future__ import annotations

from typing import Any

import pytest

from gapless.base.errors import GaplessError
from rig.fixtures.project import Project


@pytest.mark.parametrize(
    ("content", "mode", "command"),
    [
        (b"console.log(1)", 0o644, ("node", "it")),
        (b"console.log(1)", 0o755, ("node", "it")),
        (b"", 0o644, ("node", "it")),
        (b"#!", 0o644, ("node", "it")),
        (b"#!/usr/bin/env node\n", 0o644, ("node", "it")),
        (b"#! /usr/bin/env node\r\n", 0o755, ("node", "it")),
        (b"#!/usr/bin/env -S node --expose-gc\n", 0o755, ("node", "--expose-gc", "it")),
        (b"#!/usr/bin/env bash\n", 0o644, ("bash", "it")),
        (b"#!/bin/sh -e\n", 0o644, ("/bin/sh", "-e", "it")),
        (b"#!/bin/sh -e\n", 0o755, ("./it",)),
        (b"\x7fELF\0", 0o755, ("./it",)),
    ],
)
def test_a_script_without_an_extension_is_run_by_its_first_line_or_node(
    project: Project, content: bytes, mode: int, command: tuple[str, ...]
) -> None:
    """As `bin/www` of Express: what names node has Node's channel, and is a cluster."""
    script = project.directory / "it"
    script.write_bytes(content)
    script.chmod(mode)
    built = project.one("it", instances=2)
    assert built.command == command
    assert built.mode == ("cluster" if command[0] == "node" else "fork")


def test_a_script_that_nothing_can_run_is_refused(project: Project) -> None:
    """It names what is missing: the mode of a program, or an interpreter."""
    script = project.directory / "it"
    script.write_bytes(b"\x7fELF\0")
    script.chmod(0o644)
    assert "it is not executable" in project.complaint(script="it")
    script.write_bytes(b"#!/usr/bin/not-there\n")
    assert "there is no '/usr/bin/not-there'" in project.complaint(script="it")
    npm = project.directory / "npm"
    npm.write_text("#!/usr/bin/env node\n")
    npm.chmod(0o755)
    assert project.one("./npm", name="x").command == ("./npm",)


def test_variables_of_deploy_are_between_env_and_those_of_the_profile(
    project: Project,
) -> None:
    """PM2 reads them with --env, of the profile's name."""
    app: dict[str, Any] = {"name": "x", "script": "index.js"}
    app["env"] = dict.fromkeys("AB", "app")
    app["env_production"] = {"B": "profile"}
    deploy: dict[str, Any] = {
        "production": {"env": dict.fromkeys("ABC", "deploy"), "user": "node"}
    }
    deploy |= {"other": {"env": {"C": 1}}, "none": {}, "odd": 5}
    content = {"apps": [app], "deploy": deploy}

    def variables(profile: str) -> list[str | None]:
        built = project.load(content, profile=profile)["x"]
        return [built.environment.get(name) for name in "ABC"]

    assert variables("production") == ["deploy", "profile", "deploy"]
    assert variables("other") == ["app", "app", "1"]
    assert not any("env_other" in each for each in project.warnings)
    assert variables("") == ["app", "app", None]
    assert variables("none") == ["app", "app", None]
    assert any("env_none" in each for each in project.warnings)
    with pytest.raises(GaplessError, match=r"deploy\.bad\.env: 5 is not an object"):
        project.load({"apps": [app], "deploy": {"bad": {"env": 5}}})


def test_a_program_outlives_an_unhandled_rejection_where_it_does_under_pm2(
    project: Project,
) -> None:
    """PM2 listens in cluster mode, and in fork mode unless `pmx` is false."""
    assert project.one(pmx=False, instances=1).survives_rejections
    assert not project.one(pmx=False).survives_rejections
    assert not project.one("job.py").survives_rejections
    assert not project.one("npm", args="start").survives_rejections
    strict = {"unhandled_rejections": "strict"}
    assert not project.one(gapless=strict).survives_rejections
    assert project.one(gapless={"health": "/"}).survives_rejections
    assert "unhandled_rejections" in project.complaint(
        gapless={"unhandled_rejections": "warn"}
    )
