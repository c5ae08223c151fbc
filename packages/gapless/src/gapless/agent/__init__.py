"""The agent, which follows rollouts on each host, and the publisher, which begins them."""

from __future__ import annotations
