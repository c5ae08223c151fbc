"""A server of static files: the program of the app that `pm2 serve` starts.

An app like any other: a process that listens, ends its requests when it is told to stop,
and is handed over.  What serves the files is Starlette's, under uvicorn: `gapless[serve]`.
"""

from __future__ import annotations
