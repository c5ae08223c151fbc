"""Stored procedures that an app calls are procedures: counted, and refused in a drain.

Each module turns on one driver, in one line; see docs/databases.md.  None is imported here,
since the drivers are optional.
"""

from __future__ import annotations
