"""Progress of long work, step by step, and the report in which it ends."""

from __future__ import annotations

from typing import Any

from gapless.base.errors import DONE, FAILED
from gapless.cli import output

_SAID = {
    "renewing": "is renewed",
    "waiting": "waits",
    "superseded": "superseded",
    "starting": "starting",
    "recycling": "recycling",
    "ready": "ready",
    "probed": "probe passed",
    "switched": "switched: new connections go there",
    "proven": "proven",
    "draining": "draining",
    "stopping": "stopping",
    "closed": "closed",
    "failed": "failed",
    "reverted": "went back",
    "restored": "restored",
    "crashed": "crashed",
    "ended": "ended",
}
_BAD = ("failed", "reverted", "crashed")


def show_step(event: dict[str, Any]) -> None:
    """Print one step."""
    generation = event.get("generation")
    number = f" generation {generation}" if generation is not None else ""
    what = _SAID.get(event["step"], event["step"])
    detail = f": {event['detail']}" if event["detail"] else ""
    line = f"{event['app']}{number} {what}{detail} ({event['at_s']:.2f} s)"
    print(output.paint(line, "red") if event["step"] in _BAD else line, flush=True)


def show_report(report: dict[str, Any]) -> int:
    """Print a report; return the exit code that it means."""
    app, outcome = report["app"], report["outcome"]
    if report["action"] == "register":
        print(f"{app}: known, and not started; `gapless start {app}` starts it")
        return DONE
    counts = report["connections"]
    if outcome == "done":
        print(output.paint(f"{app}: {report['action']} done{_where(report)}", "green"))
    else:
        print(output.paint(f"{app}: {report['action']} {outcome}", "red"))
        print(f"  reason: {report['reason']}")
        if report["generation"]["old"] is not None:
            print(f"  generation {report['generation']['old']} serves as before")
    if report["generation"]["old"] is not None and counts["seen"]:
        seen, finished, cut = counts["seen"], counts["finished"], counts["cut"]
        print(f"  connections in flight {seen}, finished {finished}, cut {cut}")
    if (calls := report.get("outgoing")) and calls["seen"]:
        print(
            f"  answers outstanding {calls['seen']}, came {calls['finished']}, "
            f"cut {calls['cut']}"
        )
    _counted(report)
    for cut in report["cut"]:
        print(output.paint(f"  cut: {_cut(cut)}: {cut['reason']}", "red"))
    if report.get("after"):
        print(output.paint(f"  the hook `after` failed: {report['after']}", "red"))
    if report["log_tail"]:
        print("  its last lines:")
        for line in report["log_tail"]:
            print(f"    {line}")
    if report.get("warning"):
        print(output.paint(f"  {report['warning']}", "yellow"))
    if report.get("report"):
        print(f"  report: {report['report']}")
    return DONE if outcome == "done" else FAILED


def _counted(report: dict[str, Any]) -> None:
    """Print what the app counted by itself while it drained."""
    requests, procedures = report.get("requests"), report.get("procedures")
    if requests is None or procedures is None:
        return
    print(
        f"  requests finished {requests['finished']}, refused {requests['refused']}, "
        f"cut {requests['cut']}; procedures finished {procedures['finished']}, "
        f"cut {procedures['cut']}"
    )
    _named(procedures)
    if longest := report["longest"]:
        print(
            f"  longest: {longest['kind']} {longest['name']}, {longest['for_s']:.2f} s"
        )


def _named(procedures: dict[str, Any]) -> None:
    """Print the procedures that finished, each with its duration."""
    named = procedures.get("finished_named", ())  # an older report has none
    for each in named:
        print(f"    procedure {each['name']}, {each['for_s']:.2f} s")
    if named and (more := procedures["finished"] - len(named)) > 0:
        print(f"    and {more} more that were shorter")


def _cut(cut: dict[str, Any]) -> str:
    if "connections" in cut:
        return f"{output.count(cut['connections'], 'connection')} of pid {cut['pid']}"
    if "outgoing" in cut:
        named = ", ".join(f"{e['name']} for {e['for_s']:.1f} s" for e in cut["names"])
        return f"{output.count(cut['outgoing'], 'call')} of pid {cut['pid']} ({named})"
    named = ", ".join(
        f"{each['kind']} {each['name']} after {each['for_s']:.1f} s"
        for each in cut["names"]
    )
    requests = output.count(cut["requests"], "request")
    what = f"{requests} and {output.count(cut['procedures'], 'procedure')}"
    return f"{what} of pid {cut['pid']} ({named})"


def _where(report: dict[str, Any]) -> str:
    steps = {step["step"]: step["at_s"] for step in report["steps"]}
    last_s = report["steps"][-1]["at_s"] if report["steps"] else 0.0
    release, number = report["release"]["new"], report["generation"]["new"]
    where = f", release {release}" if release else ""
    where += f", generation {number}" if number else ""
    switched = (
        f", switched after {steps['switched']:.2f} s" if "switched" in steps else ""
    )
    return f"{where}{switched} ({last_s:.2f} s in all)"
