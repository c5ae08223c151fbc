"""Stored procedures that an app calls are procedures: counted, and refused in a drain.

Each module that is named by a driver turns that driver on, in one line; see
docs/databases.md.  None of them is imported here, since the drivers are optional.
"""

from __future__ import annotations
