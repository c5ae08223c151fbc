"""A load of clients that never pause, each on one connection that it keeps.

Rule 1: a client sends its next request the moment the answer to the last one is complete.
Rule 2: it opens another connection only after the server announced `Connection: close`,
closed an idle one, or lost a request.
Rule 3: every request carries its number in the query, and the answer repeats it.

The programs of `rig/apps/numbered` write each number to a file when they have read the
whole request; `rig.load.executions` compares that file with the ledger of the load.
"""

from __future__ import annotations

from dataclasses import replace

from rig.load.traffic import Traffic
from rig.wait import SLOWER

HUNG_S = 20.0 * SLOWER
"""A request without an answer for so long counts as hung: its fate is `time-out`."""
GET = Traffic(
    kind="get",
    path="/n?id={number}",
    concurrency=2,
    keep_alive=True,
    unresting=True,
    answer_names_number=True,
    timeout_s=HUNG_S,
)
POST = replace(GET, kind="post", concurrency=1, method="POST", body_bytes=4_096)
LARGE = replace(POST, kind="large", body_bytes=5_000_000)
SLOW_BODY = replace(POST, kind="slow-body", body_s=0.4, body_pieces=8)
PAUSING = replace(GET, kind="pausing", pause_s=0.05, longest_pause_s=0.5)
UNRESTING = (GET, POST, LARGE, SLOW_BODY, PAUSING)
"""Seven clients.  The last two pause: a server may find their connections idle."""
