"""Bring a release to this host: releases and the supervisor together."""

from __future__ import annotations
