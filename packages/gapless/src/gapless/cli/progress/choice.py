"""How long work is shown: as a picture, as lines, or not at all."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from gapless.base.errors import GaplessError
from gapless.cli import output
from gapless.cli.display import steps
from gapless.cli.terminal import outlet
from gapless.client import Client

if TYPE_CHECKING:
    from gapless.rollout.model import HostReport


class Shown(Protocol):
    """What is told of work that goes on."""

    def step(self, event: dict[str, Any]) -> None:
        """Take a step of an app."""

    def host(self, report: HostReport) -> None:
        """Take what a host of a fleet reports."""

    def end(self, name: str, outcome: str, words: str = "") -> None:
        """Take the end of an app's work; its report is printed later."""


class Lines:
    """Prints each step on a line."""

    def step(self, event: dict[str, Any]) -> None:
        """Print a step."""
        steps.print_step(event)

    def host(self, report: HostReport) -> None:
        """Print the phase of a host."""
        from gapless.cli.display import rollouts  # noqa: PLC0415 - few have a fleet

        rollouts.print_host(report)

    def end(self, name: str, outcome: str, words: str = "") -> None:
        """Do nothing."""


class Silent(Lines):
    """Prints nothing: for --json."""

    def step(self, event: dict[str, Any]) -> None:
        """Do nothing."""

    def host(self, report: HostReport) -> None:
        """Do nothing."""


def draws() -> bool:
    """Return whether pictures can be drawn: on a terminal, with gapless[screen]."""
    return (
        output.may_overwrite()
        and outlet.is_installed()
        and importlib.util.find_spec("rich") is not None
    )


@contextmanager
def shown(
    names: Collection[str], *, as_json: bool = False, client: Client | None = None
) -> Iterator[Shown]:
    """Show the work for some apps or hosts; the *client* is asked for connections."""
    if as_json:
        yield Silent()
    elif not draws():
        yield Lines()
    else:
        from gapless.cli.progress.picture import Picture  # noqa: PLC0415 - few need it

        def look(name: str) -> dict[str, Any] | None:
            assert client is not None
            return client.glance("describe", app=name)

        stream = outlet.behind(sys.stdout)
        with Picture(names, stream, None if client is None else look) as picture:
            yield picture


def outcome_of(found: dict[str, Any] | GaplessError) -> tuple[str, str]:
    """Return the outcome of a report, and the reason if it is not done."""
    if isinstance(found, GaplessError):
        return "failed", found.message
    return str(found.get("outcome", "done")), str(found.get("reason") or "")
