"""The variables of apps that are in files: read with the rights of the apps' users."""

from __future__ import annotations
