"""Jobs of RQ, of which none is cut or lost: `rq worker -w rq_app.Jobs`."""

import os
import time

from gapless_drain import Drain, Draining
from gapless_drain.databases.psycopg import counted
from rq import Worker

drain = Drain(on_signal=None)  # RQ handles SIGTERM
Connection = counted(drain)


class Jobs(Worker):
    """Takes no job in a drain; after a stop signal it finishes the job that runs."""

    def request_stop(self, signum, frame):
        # RQ's own interrupts the wait for a job, and may lose one that has just come; the
        # second time it kills the job that runs.
        self._stop_requested = True

    def dequeue_job_and_maintain_ttl(self, timeout, max_idle_time=None):
        while not self._stop_requested:
            if drain.wait(0):  # draining; the stop signal comes when all is finished
                time.sleep(0.05)
            elif found := super().dequeue_job_and_maintain_ttl(1, 1):  # waits for 1 s
                return found
        return None  # which ends the process

    def execute_job(self, job, queue):
        try:
            # This ends when the result is stored, which is after its procedures.
            with drain.procedure(job.func_name):
                super().execute_job(job, queue)
        except Draining:  # the drain began while the job was fetched: requeue it in front
            with self.connection.pipeline() as together:
                together.lrem(queue.intermediate_queue_key, 1, job.id)
                queue.push_job_id(job.id, pipeline=together, at_front=True)
                together.execute()

    def perform_job(self, job, queue, execution):  # in the child, which calls os._exit
        try:
            return super().perform_job(job, queue, execution)
        finally:
            drain.close()  # else its last procedure might count as cut


def call(text, job):
    with open(os.environ["LEDGER"], "a") as ledger:
        ledger.write(f"{job}\n")
    with Connection.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(text, (job,))
