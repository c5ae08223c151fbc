"""What tests, the demo and the benchmarks start: real programs, faults, strict load."""

from __future__ import annotations
