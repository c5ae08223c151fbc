"""Which uploads of an inbox may be published now: complete, and not failed before."""

from __future__ import annotations

from gapless.releases import file_state
from gapless.releases.file_state import FileState
from gapless.releases.inbox import completeness, uploads
from gapless.releases.model import Limits

_States = tuple[FileState | None, ...]


class UploadReadiness:
    """Remembers the states of uploads from one check of the inbox to the next."""

    def __init__(self, limits: Limits, *, is_signed: bool = False) -> None:
        """Prepare; *limits* are those of an upload, and of who reads it.

        Uploads that have to be signed are not opened.
        """
        self._limits, self._is_signed = limits, is_signed
        self._states: dict[str, _States] = {}
        self._incomplete: dict[str, tuple[_States, str]] = {}
        """By upload: its states when it was found to be incomplete, and why it was."""
        self._given_up: dict[str, tuple[FileState | None, int]] = {}
        """By upload: its state when it failed; it is tried again when that changes."""

    def is_given_up(self, tarball: str) -> bool:
        """Return whether an upload has failed, and has not changed since."""
        if tarball not in self._given_up:
            return False
        if self._given_up[tarball] == _state(tarball):
            return True
        del self._given_up[tarball]
        return False

    def give_up(self, tarball: str) -> None:
        """Do not try an upload again until it changes."""
        self._given_up[tarball] = _state(tarball)

    def is_complete(self, tarball: str) -> tuple[bool, str]:
        """Return whether an upload is complete, and if not, why.

        An upload that has not changed since is not read again.
        """
        before, now = self._states.get(tarball), completeness.states_of(tarball)
        self._states[tarball] = now
        known = self._incomplete.get(tarball)
        if known is not None and known[0] == now == before:
            return False, known[1]
        complete, why = completeness.is_complete(
            tarball,
            before[0] if before else None,
            self._limits,
            is_signed=self._is_signed,
        )
        if complete:
            self._states.pop(tarball)
            self._incomplete.pop(tarball, None)
        elif before == now:
            self._incomplete[tarball] = (now, why)
        return complete, why


def _state(tarball: str) -> tuple[FileState | None, int]:
    """Return the state of an upload, its owner and mode among it: they set its ctime."""
    return file_state.state_of(tarball), uploads.arrived_ns(tarball)
