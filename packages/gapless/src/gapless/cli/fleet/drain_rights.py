"""The right to drain: what a host takes in each of its fleets before it drains."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from gapless.base.errors import GaplessError
from gapless.cli import output
from gapless.client import Client

if TYPE_CHECKING:
    from gapless.agent.drain_right import DrainRight


def rights(client: Client, print_line: Callable[[str], None]) -> list[DrainRight]:
    """Return the right to drain in each fleet of this host; none if it is in no fleet.

    Raises GaplessError.
    """
    if not os.path.exists(client.home.fleets):
        return []
    from gapless.agent import drain_right, membership  # noqa: PLC0415 - loads TLS

    return [
        drain_right.DrainRight(each, print_line, output.print_error)
        for each in membership.memberships(client.home)
    ]


def take(
    client: Client, print_line: Callable[[str], None], *, force: bool
) -> list[DrainRight]:
    """Take the right to drain in every fleet, with *force* without asking the others.

    Raises GaplessError.
    """
    try:
        found = rights(client, print_line)
    except GaplessError:
        if force:
            return []
        raise
    if not found:
        return []
    from gapless.agent import drain_right  # noqa: PLC0415 - loads TLS

    if not force:
        drain_right.take_all(found)
        return found
    for each in found:
        try:
            each.force()
        except GaplessError as error:
            output.print_error(
                f"{each.app}: the other hosts are not told: {error.message}"
            )
    return found


def confirm(client: Client, found: list[DrainRight]) -> None:
    """Check that no right was lost before the drain began; else undrain.

    Raises GaplessError.
    """
    for each in found:
        try:
            held = each.is_held()
        except GaplessError:
            continue  # it was held when it was taken, a moment ago
        if not held:
            client.request("undrain")
            for other in found:
                with contextlib.suppress(GaplessError):  # its agent does it later
                    other.give_back()
            raise GaplessError(
                f"{each.app}: the right to drain was lost meanwhile", hint="try again"
            )


def answers_balancers(right: DrainRight) -> bool:
    """Return whether the agent answers load balancers; False if that is not known."""
    try:
        return right.answers_balancers()
    except GaplessError:
        return False
