"""What the poller of all browsers tells each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gapless.client import Client
from gapless.web import feed as feeds
from gapless.web.deeds import Deeds
from gapless.web.host_look import HostLook, Listed
from rig import wait


class Look(HostLook):
    """Answers as a supervisor whose apps are those of `described`."""

    def __init__(self, home: Path) -> None:
        super().__init__(Client(str(home), starts=False))
        self.described: dict[str, dict[str, Any]] = {}

    def apps(self) -> Listed:
        """Return a row for each app."""
        return Listed(rows=list(self.described.values()))

    def app(self, name: str) -> tuple[dict[str, Any] | None, float]:
        """Return what is known of an app."""
        return self.described.get(name), 0.0


def test_an_app_that_was_deleted_and_started_again_is_told(
    tmp_path: Path, monkeypatch: Any
) -> None:
    """An open page shows its instances and its log lines, and not those of before."""
    for each in ("LIST_S", "APP_S", "SOON_S"):
        monkeypatch.setattr(feeds, each, 0.0)
    log = tmp_path / "log"
    log.write_text("one\ntwo\n")
    look = Look(tmp_path)
    shop = {"name": "shop", "status": "online", "logs": [str(log)]}

    async def watch() -> None:
        feed = feeds.Feed(look, Deeds())
        task = asyncio.create_task(feed.run())
        try:
            async with feed.watched("shop") as watcher:

                async def until(is_told: Callable[[dict[str, Any]], bool]) -> None:
                    async with asyncio.timeout(20):
                        while not is_told(dict(feed.news(watcher))):
                            await watcher.wakes.wait()

                look.described["shop"] = shop | {"hint": "first"}
                await until(lambda told: "log" in told)
                look.described["shop"] = shop | {"hint": "second"}
                await until(lambda told: told.get("app", {}).get("hint") == "second")
                look.described.clear()
                await until(lambda told: told.get("apps", {}).get("order") == [])
                looks = feed.looks
                await asyncio.to_thread(
                    wait.until, lambda: feed.looks >= looks + 2, "that it is forgotten"
                )
                log.write_text("three\n")
                look.described["shop"] = shop | {"hint": "third"}
                told: dict[str, Any] = {}

                def is_all(found: dict[str, Any]) -> bool:
                    told.update(found)
                    return {"app", "log"} <= told.keys()

                await until(is_all)
                assert told["app"]["hint"] == "third"
                assert told["log"] == ["three"]
        finally:
            task.cancel()

    asyncio.run(watch())
