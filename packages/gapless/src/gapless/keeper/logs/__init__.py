"""From the output pipes of instances to log files of whole lines."""

from __future__ import annotations
