"""What this machine remembers of signed rollouts: `GAPLESS_HOME/trust/APP.ROLE.json`.

Numbers of rollouts only rise: without a memory of its own a host would take an old rollout,
signed long ago, for a new one.  A file that is broken is an error, and not a new beginning.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from gapless.base import codec, files
from gapless.base.errors import UnavailableError
from gapless.base.outside import files as outside_files

HOST, PUBLISHER = "host", "publisher"
KEPT = 30
"""Releases that are remembered, the newest."""
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """What was taken, or by a publisher: what it signed."""

    number: int = 0
    """The highest number of a rollout."""
    release: str = ""
    """The release of that rollout."""
    previous: str = ""
    """Of a publisher: the release that hosts were to go back to from it."""
    trees: dict[str, str] = field(default_factory=dict)
    """By release: the digest of its tree; empty: it ran before anything was verified."""

    def with_tree(self, release: str, digest: str) -> Trusted:
        """Return it with one release more, as the newest."""
        kept = {name: each for name, each in self.trees.items() if name != release}
        newest = [*kept.items(), (release, digest)][-KEPT:]
        return replace(self, trees=dict(newest))


class TrustMemory:
    """The file of one app, and of one role."""

    def __init__(self, home: str, app: str, role: str) -> None:
        self._folder, self._app = f"{home}/trust", app
        self.path = f"{self._folder}/{app}.{role}.json"

    def load(self) -> Trusted:
        """Return what is remembered.  Raises UnavailableError if that cannot be known."""
        try:
            plain = json.loads(outside_files.read(self.path, _MOST_BYTES))
            codec.check_plain(plain, "it")
            # An object with sorted keys has lost its order, so it is a list of pairs.
            return codec.decode(Trusted, plain | {"trees": dict(plain["trees"])})
        except FileNotFoundError:
            return Trusted()
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise UnavailableError(
                f"{self._app}: which rollouts were taken here is not known: {self.path}: "
                f"{error}",
                hint="if you know why it is broken, remove it: then the next signed "
                "rollout is taken, whatever its number",
            ) from error

    def save(self, trusted: Trusted) -> None:
        """Write what is remembered.  Raises OSError."""
        files.make_directories(self._folder, files.PRIVATE_DIRECTORY)
        plain = codec.encode(trusted) | {"trees": [*trusted.trees.items()]}
        files.write_json(self.path, plain, 0o600)
