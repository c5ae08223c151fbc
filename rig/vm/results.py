"""What the machines showed: kept as files, and written into docs/machines.md as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rig.hosts.host import ROOT
from rig.vm.machine import Done, Machine

RESULTS = ROOT / "build" / "vm" / "results"
PAGE = ROOT / "docs" / "machines.md"
BEGIN, END = "<!-- written by `make vm` -->", "<!-- until here -->"


def keep_part(machine: Machine, user: str, part: str, done: Done) -> None:
    """Keep the output of a part of the tests, and how it ended."""
    summary = done.output.strip().splitlines()[-1].strip("= ")
    words = summary.rpartition(" in ")[0] or summary
    _keep(machine, user, f"tests: {part}", words, done.output)


def keep_doctor(machine: Machine, user: str, checks: list[dict[str, Any]]) -> None:
    """Keep what `gapless doctor` says."""
    for check in checks:
        words = "no" if check["trouble"] else "yes"
        _keep(machine, user, check["what"].partition(":")[0], words, str(check))


def _keep(machine: Machine, user: str, what: str, words: str, output: str) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    release = machine.ok("uname", "-r").strip()
    name = "".join(letter if letter.isalnum() else "-" for letter in what)
    path = RESULTS / f"{release}-{user}-{name}"
    path.with_name(path.name + ".txt").write_text(output)
    kept = {"kernel": release, "user": user, "what": what, "words": words}
    path.with_name(path.name + ".json").write_text(json.dumps(kept))


def write_table(results: Path = RESULTS, page: Path = PAGE) -> None:
    """Write what was kept into the page: a row for each thing, a column a machine."""
    found = [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    columns = sorted({(each["kernel"], each["user"]) for each in found})
    rows = sorted({each["what"] for each in found}, key=lambda w: ("tests" in w, w))
    words = {(e["what"], e["kernel"], e["user"]): e["words"] for e in found}
    lines = [
        "| | " + " | ".join(f"{kernel}, {user}" for kernel, user in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
        *(
            f"| {row} | "
            + " | ".join(words.get((row, *column), "-") for column in columns)
            + " |"
            for row in rows
        ),
    ]
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    table = "\n".join(lines)
    page.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}")
