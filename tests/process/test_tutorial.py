"""The tutorial, typed word for word."""

from __future__ import annotations

import contextlib
import os

from rig import transcript
from rig.hosts.host import GAPLESS, ROOT, Host
from rig.wait import free_port

PAGE = ROOT / "docs" / "tutorial.md"


def test_every_command_of_the_tutorial_does_what_the_page_shows(host: Host) -> None:
    """In one shell, in an empty directory; the page's port is one that is free."""
    page = PAGE.read_text().replace("8400", str(free_port()))
    path = f"{GAPLESS.parent}{os.pathsep}{host.environment['PATH']}"
    shell = transcript.Shell(host.directory, host.environment | {"PATH": path})
    with contextlib.closing(shell):
        for typed in transcript.commands(page):
            found, code = shell.type(*typed.lines)
            output = [
                line.replace(f"{host.directory}/", "/home/ada/") for line in found
            ]
            assert code == typed.code, f"{typed.lines}: code {code}, {output}"
            different = transcript.differs(typed.shown, output)
            assert not different, f"{typed.lines}\n{different}"


def test_the_chinese_tutorial_has_the_same_commands() -> None:
    """What the test above types is what both pages show."""
    chinese = PAGE.with_name("tutorial.zh-CN.md").read_text()
    assert transcript.BLOCK.findall(chinese) == transcript.BLOCK.findall(
        PAGE.read_text()
    )
