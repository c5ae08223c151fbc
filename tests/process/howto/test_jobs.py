"""The page for background jobs, with RQ, Celery and Sidekiq."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rig.databases.redis import redis
from rig.fixtures.howto import HowTo
from rig.hosts.host import SERVERS, Host
from rig.wait import until

WORK = """
import os, time

def work(number):
    for word in ("begin", "end"):
        with open(os.environ["LEDGER"], "a") as ledger:
            ledger.write(f"{word} {number}\\n")
        time.sleep(2 if word == "begin" else 0)
"""
RQ = """
import sys
from redis import Redis
from rq import Queue
import jobs
for number in range(6):
    Queue(connection=Redis.from_url(sys.argv[1])).enqueue(jobs.work, number)
"""
CELERY = """
from celery import Celery
app = Celery("jobs", broker=os.environ["BROKER"])
app.conf.worker_prefetch_multiplier = 1
work = app.task(work)
"""
SIDEKIQ = """
require "sidekiq"

class Work
  include Sidekiq::Worker

  def perform(number)
    %w[begin end].each do |word|
      File.write(ENV.fetch("LEDGER"), "#{word} #{number}\\n", mode: "a")
      sleep(word == "begin" ? 2 : 0)
    end
  end
end
"""
FILES = {
    "rq": {"jobs.py": WORK, "send.py": RQ},
    "celery": {
        "jobs.py": WORK + CELERY,
        "send.py": "import jobs\nfor number in range(6): jobs.work.delay(number)\n",
    },
    "sidekiq": {"jobs.rb": SIDEKIQ},
}
SEND = {
    "rq": [".venv/bin/python", "send.py", "URL"],
    "celery": [".venv/bin/python", "send.py"],
    "sidekiq": [
        *("ruby", "-r", "./jobs.rb"),
        *("-e", "6.times { |number| Work.perform_async(number) }"),
    ],
}


@pytest.mark.soak
@pytest.mark.parametrize("name", FILES)
def test_background_jobs(host: Host, tmp_path: Path, name: str) -> None:
    """A release in the middle of jobs: each is begun once, and ends."""
    with redis(tmp_path) as url:
        page = HowTo(host, "background-jobs")
        page.replace("redis://127.0.0.1:6379", url)
        page.lay_out()
        page.replace("rq.toml\n", f"{name}.toml\n")
        page.replace("reload rq\n", f"reload {name}\n")
        page.replace("rq: reload", f"{name}: reload")
        shop = page.path("/srv/shop")
        (shop / ".venv").symlink_to(SERVERS.parent)
        page.write("/srv/shop", FILES[name])
        ledger = shop / "ledger"
        host.environment |= {"LEDGER": str(ledger), "BROKER": url, "REDIS_URL": url}

        def lines() -> list[str]:
            return ledger.read_text().splitlines() if ledger.exists() else []

        def send() -> None:
            argv = [url if word == "URL" else word for word in SEND[name]]
            subprocess.run(
                argv, cwd=shop, env=host.environment, check=True, timeout=120
            )
            until(lines, "a job has begun", 60)

        page.follow(before={("gapless reload", 1): send})
        until(lambda: len(lines()) >= 12, "every job has ended", 60)
        host.ok("stop", name)
    wanted = [f"{word} {number}" for number in range(6) for word in ("begin", "end")]
    assert sorted(lines()) == sorted(wanted)
