"""The steps in which a tarball becomes a release: unpack, link, build, run hooks."""

from __future__ import annotations
