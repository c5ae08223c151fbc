"""Work that must finish: writes when it began and when it ended to a ledger."""

import os
import threading
import time
import uuid

from gapless_drain import Draining


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


def keep_books(drain):
    """A job in the background, outside all requests; it begins no more once told."""

    def run():
        release, pid = os.environ.get("RELEASE", "0"), os.getpid()
        while True:
            try:
                with drain.procedure("keep books"):
                    note(f"book {pid} {release}")
            except Draining:
                note(f"refused {pid} {release}")
            time.sleep(0.05)

    if "BOOKS" in os.environ:
        threading.Thread(target=run, daemon=True).start()
