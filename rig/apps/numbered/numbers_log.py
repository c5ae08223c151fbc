"""What the Python apps here have in common: the log of numbers, and the answer.

Each app writes the number of a request to the file in NUMBERS once it has read the whole
request, with one call, and then answers with its release and that number.
"""

import os
from urllib.parse import parse_qs

RELEASE = os.environ.get("RELEASE", "0")
log = os.open(os.environ["NUMBERS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def done(method: str, query: str, size: int) -> bytes:
    """Log the number of a request that was read whole; return the answer."""
    number = parse_qs(query).get("id", [""])[0]
    if number:
        os.write(log, f"{number} {method} {size} {RELEASE}\n".encode())
    return f"release {RELEASE} pid {os.getpid()} number {number}\n".encode()
