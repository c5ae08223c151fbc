"""Hand an app over to a release: a reload, whose switch may need a permit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

from gapless.base import codec
from gapless.base.errors import NotFoundError
from gapless.client import Client
from gapless.config.refresh import refreshed
from gapless.releases.model import Release, ReleaseSpec
from gapless.supervisor.memory.spec import AppSpec

OnEvent = Callable[[dict[str, Any]], None]
"""Is called with each step, as the supervisor sends it."""


class Permit(Protocol):
    """Decides whether a switch may still happen, right before it."""

    @property
    def until(self) -> float:
        """When a permit that was just given ends, on CLOCK_BOOTTIME."""

    def refused(self) -> str:
        """Return why the switch may not happen; empty if it may."""


def spec_in(
    releases: ReleaseSpec, release: Release, described: dict[str, Any], lead_s: float
) -> AppSpec:
    """Return the configuration of a running app, read from its file again, in a release.

    *lead_s* is the lead time of a recycle, if the file has none.  Raises GaplessError.
    """
    running = codec.decode(AppSpec, described["spec"])
    wanted = refreshed(running, inside=(releases, release))
    # A release is judged once: a host tries no longer what was not published.
    restart = dataclasses.replace(wanted.restart, first=False)
    recycle = wanted.recycle
    if not recycle.lead_s:
        recycle = dataclasses.replace(recycle, lead_s=lead_s)
    return dataclasses.replace(
        wanted, release=release.name, recycle=recycle, restart=restart
    )


class Handoff:
    """One reload of an app."""

    def __init__(
        self, client: Client, permit: Permit | None, on_event: OnEvent
    ) -> None:
        self._client, self._permit, self._on_event = client, permit, on_event
        self.was_late = False
        """The switch did not happen because it was permitted too late."""

    def run(
        self, wanted: AppSpec, token: str = "", *, back: bool = False
    ) -> dict[str, Any]:
        """Reload the app; return the report.  Raises GaplessError.

        By *token* another process can `follow` it.  It goes *back* to an earlier release:
        then it waits for no generation that drains.
        """

        def on_event(event: dict[str, Any]) -> None:
            if event["step"] == "permit":
                self._answer_permit(wanted.name)
            self._on_event(event)

        report: dict[str, Any] = self._client.request(
            "reload",
            on_event=on_event,
            token=token,
            app=wanted.name,
            spec=codec.encode(wanted),
            permit=self._permit is not None,
            back=back,
        )
        return report

    def follow(self, app: str, token: str) -> dict[str, Any] | None:
        """Wait for the end of a reload that another process asked for; return the report.

        None if it was never asked for, or the app was changed again since.  Raises
        GaplessError.
        """
        try:
            report: dict[str, Any] = self._client.request(
                "follow", on_event=self._on_event, token=token, app=app
            )
        except NotFoundError:
            return None
        return report

    def _answer_permit(self, app: str) -> None:
        """Tell the supervisor whether the switch may still happen."""
        assert self._permit is not None
        try:
            refused = self._permit.refused()
            until = self._permit.until
            answer = self._client.request(
                "permit", app=app, refused=refused, until=until
            )
        except NotFoundError:
            self.was_late = True  # the supervisor has waited too long, and gone back
        else:
            self.was_late = not refused and not answer["permitted"]
