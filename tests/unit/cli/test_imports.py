"""What a command imports before it does anything: each user waits for that."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"msgspec", "json5", "ruamel.yaml", "gapless.supervisor.memory.model"}
"""The parsers of files, and the values of the supervisor's plan."""


@pytest.mark.parametrize("verb", ["reload", "restart", "scale", "start", "stop"])
def test_a_command_about_apps_begins_light(verb: str) -> None:
    """A file is parsed when one is read."""
    assert HEAVY.isdisjoint(modules_after(f"import gapless.cli.verbs.apps.{verb}"))


@pytest.mark.parametrize(
    "topic_and_verb", ["inspect.list", "inspect.top", "apps.reload"]
)
def test_what_draws_is_imported_when_it_draws(topic_and_verb: str) -> None:
    """The library rich alone takes as long as the whole list."""
    found = modules_after(f"import gapless.cli.verbs.{topic_and_verb}")
    assert {"rich", "textual", "unicodedata"}.isdisjoint(found)


def test_words_of_pm2_need_no_http() -> None:
    """Only a debugger is asked over HTTP; TLS alone takes longer than the list."""
    code = "from gapless.__main__ import main; main(['pm2', 'list'])"
    assert {"http.client", "ssl"}.isdisjoint(modules_after(code))


@pytest.mark.parametrize("part", ["supervisor.supervisor", "keeper.keeper"])
def test_what_lives_for_years_begins_without_what_it_seldom_needs(part: str) -> None:
    """What one of ours has imported stays in its memory for good."""
    seldom = ["inspect", "copy", "ipaddress", "random", "zlib"]
    code = f"import gapless.{part}, sys; loaded = sys.modules.items()"
    is_there = f"n in {seldom} and hasattr(m, '__spec__') and m.__spec__"
    found = modules_after(
        f"{code}; print(*[n for n, m in loaded if {is_there}])", line=0
    )
    assert found == []


def test_the_keeper_knows_nothing_of_the_log_of_gapless() -> None:
    """It writes a traceback of its own, if ever."""
    found = modules_after("import gapless.keeper.keeper")
    assert {"gapless.base.events", "gapless.base.outside.secrets"}.isdisjoint(found)


def modules_after(code: str, line: int = -1) -> list[str]:
    """Return the names of all modules that are there after *code*, or another line."""
    code = f"import sys; {code}; print(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[line].split()
