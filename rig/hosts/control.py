"""Ask a supervisor that runs, on its control socket (spec/control.md).

Tests ask often while they wait; a command for each question would keep the cores busy.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

ANSWER_S = 60.0


def ask(home: Path, op: str, **fields: Any) -> Any:
    """Return the result of a request; None if no supervisor gave one."""
    directory = os.open(home, os.O_PATH) if home.is_dir() else -1
    if directory < 0:
        return None
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(ANSWER_S)
            # The path of a temporary directory may be too long for a socket (unix(7)).
            sock.connect(f"/proc/self/fd/{directory}/supervisor.sock")
            sock.sendall(json.dumps({"op": op, **fields}).encode() + b"\n")
            with sock.makefile("rb") as lines:
                for line in lines:
                    answer = json.loads(line)
                    if "result" in answer:
                        return answer["result"]
                    if "error" in answer:
                        return None
    except (ConnectionError, FileNotFoundError):
        return None
    finally:
        os.close(directory)
    return None
