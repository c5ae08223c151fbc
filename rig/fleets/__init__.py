"""Fleets on one machine: hosts with agents, their apps, and the faults that strike them."""

from __future__ import annotations
