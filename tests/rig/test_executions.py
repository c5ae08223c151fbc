"""What ran at the apps is compared with what the clients sent."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rig.load.executions import Differences, differences
from rig.load.unresting import GET, POST

LEDGER = [
    json.dumps({"number": 1, "kind": "get", "fate": "answered"}),
    json.dumps({"number": 2, "kind": "post", "fate": "answered"}),
    json.dumps({"number": 3, "kind": "get", "fate": "reset"}),
]
ONCE = ["1 GET 0 1\n", "2 POST 4096 1\n"]


NONE = Differences(doubled=[], missing=[], unknown=[], altered=[])


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (ONCE, NONE),
        ([*ONCE, "3 GET 0 1\n"], NONE),
        ([*ONCE, "1 GET 0 2\n"], replace(NONE, doubled=[1])),
        ([*ONCE, "3 GET 0 1\n", "3 GET 0 2\n"], replace(NONE, doubled=[3])),
        (ONCE[:1], replace(NONE, missing=[2])),
        ([*ONCE, "7 GET 0 1\n"], replace(NONE, unknown=["7 GET 0 1\n"])),
        ([*ONCE, "3 GE"], replace(NONE, unknown=["3 GE"])),
        ([ONCE[0], "2 POST 4000 1\n"], replace(NONE, altered=["2 POST 4000 1\n"])),
        ([ONCE[0], "2 GET 4096 1\n"], replace(NONE, altered=["2 GET 4096 1\n"])),
    ],
)
def test_each_difference_is_found(log: list[str], expected: Differences) -> None:
    """A request that was lost may have run once, but not twice."""
    assert differences(LEDGER, log, (GET, POST)) == expected
    assert bool(expected) is (expected != NONE)
