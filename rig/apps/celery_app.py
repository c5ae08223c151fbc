"""Tasks of Celery, with files as its broker: `celery -A celery_app worker`."""

import os
import signal
import time

from celery import Celery
from gapless_drain import Drain, Draining
from gapless_drain.databases.psycopg import counted

drain = Drain(on_signal=None)  # Celery handles SIGTERM: its warm shutdown
MAIN = os.getpid()


def leave():
    if os.getpid() == MAIN:  # a child of the pool drains too, but its parent ends it
        os.kill(MAIN, signal.SIGTERM)


drain.on_drain(leave)
Connection = counted(drain)
place = os.environ["BROKER"]
app = Celery("celery_app", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": place,
        "data_folder_out": place,
        "control_folder": f"{place}/control",
    },
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
    worker_hijack_root_logger=False,
)


@app.task(
    name="close the month",
    autoretry_for=(Draining,),  # the warm shutdown may fetch one more: requeue it
    retry_kwargs={"max_retries": None, "countdown": 1},
)
@drain.procedure("close the month")
def close_month(job, seconds):
    with open(os.environ["LEDGER"], "a") as ledger:
        ledger.write(f"begin {job}\n")
    time.sleep(seconds)
    with Connection.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("CALL close_month(%s, 3, 0.05)", (job,))
