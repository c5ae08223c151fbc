"""`gapless top`: a screen that shows the apps of this host, and changes them if asked.

It speaks to the supervisor through the client alone.  Only here textual is imported.
"""

from __future__ import annotations
