"""Signatures of ssh keys: of uploads by who pushes, of releases by the publisher."""

from __future__ import annotations
