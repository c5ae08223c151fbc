"""Work that must finish: writes when it began and when it ended to a ledger."""

import os
import time
import uuid


def note(what):
    with open(os.environ.get("LEDGER", os.devnull), "a") as ledger:
        ledger.write(what + "\n")


def close_the_month(drain, seconds):
    """What a stored procedure would do, and take its time for."""
    with drain.procedure("close the month"):
        number = uuid.uuid4().hex
        note(f"begin {number}")
        time.sleep(seconds)
        note(f"end {number}")


async def close_the_month_async(drain, seconds):
    import asyncio

    async with drain.procedure("close the month"):
        number = uuid.uuid4().hex
        note(f"begin {number}")
        await asyncio.sleep(seconds)
        note(f"end {number}")
