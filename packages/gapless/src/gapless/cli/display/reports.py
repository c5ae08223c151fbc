"""The report in which an operation ends."""

from __future__ import annotations

from typing import Any

from gapless.base.errors import DONE, FAILED
from gapless.cli import output


def exit_code(report: dict[str, Any]) -> int:
    """Return the exit code that a report means."""
    return DONE if report["outcome"] == "done" else FAILED


def print_report(report: dict[str, Any]) -> int:
    """Print a report; return the exit code that it means."""
    app, outcome = report["app"], report["outcome"]
    if report["action"] == "register":
        print(f"{app}: listed, and not started; `gapless start {app}` starts it")
        return DONE
    counts = report["connections"]
    if outcome == "done":
        print(output.paint(f"{app}: {_done(report)}{_result(report)}", "green"))
        _print_way_back(report)
    else:
        print(output.paint(f"{app}: {report['action']} {outcome}", "red"))
        print(f"  reason: {report['reason']}")
        if report["generation"]["old"] is not None:
            tried = any(step["step"] == "trying on" for step in report["steps"])
            how = "is tried on" if tried else "serves as before"
            print(f"  generation {report['generation']['old']} {how}")
        if hint := report.get("hint"):  # an older report has none
            print(f"  hint: {hint}")
    if counts is None:
        print(
            "  connections in flight are not known: the kernel does not show them here"
        )
    elif report["generation"]["old"] is not None and counts["seen"]:
        unknown = counts.get("unknown", 0)  # an older report has none
        print(
            f"  connections in flight {counts['seen']}, "
            f"finished {counts['finished']}, cut {counts['cut']}"
            + (f", taken over {taken}" if (taken := counts.get("taken_over")) else "")
            + (f", unknown {unknown}" if unknown else "")
        )
    if trouble := report.get("not_taken_over"):
        text = f"connections were not taken over: {trouble}"
        print(output.paint(f"  {text}", "yellow"))
    if (calls := report.get("outgoing")) and calls["seen"]:
        print(
            f"  calls outstanding {calls['seen']}, answered {calls['finished']}, "
            f"cut {calls['cut']}"
        )
    _print_counts(report)
    for cut in report["cut"]:
        print(output.paint(f"  cut: {_cut(cut)}: {cut['reason']}", "red"))
    if report.get("after"):
        print(output.paint(f"  the hook `after` failed: {report['after']}", "red"))
    if report["log_tail"]:
        print("  the last lines of its log:")
        for line in report["log_tail"]:
            print(f"    {line}")
    for step in report["steps"]:
        if step["step"] == "renewing":
            print(f"  because: {step['detail']}")
    if report.get("warning"):
        print(output.paint(f"  {report['warning']}", "yellow"))
    if signed_by := report.get("signed_by"):  # an older report has none
        print(f"  signed by {signed_by}")
    if report.get("report"):
        print(f"  report: {report['report']}")
    return exit_code(report)


def _done(report: dict[str, Any]) -> str:
    """Return what was done; a rollback names both releases."""
    before, after = report["release"]["old"], report["release"]["new"]
    if report["action"] == "rollback" and before and before != after:
        return f"rolled back from {before} to {after}"
    return f"{report['action']} done" + (f", release {after}" if after else "")


def _print_way_back(report: dict[str, Any]) -> None:
    """Print how a rollback is undone, and what the same command would do now."""
    before, app = report["release"]["old"], report["app"]
    if report["action"] == "rollback" and before and before != report["release"]["new"]:
        print(
            f"  `gapless rollback {app} {before}` goes forward again, "
            f"`gapless rollback {app}` one release further back"
        )


def _print_counts(report: dict[str, Any]) -> None:
    """Print what the app counted by itself while it drained."""
    requests, procedures = report.get("requests"), report.get("procedures")
    if requests is None or procedures is None:
        return
    print(
        f"  requests finished {requests['finished']}, refused {requests['refused']}, "
        f"cut {requests['cut']}; procedures finished {procedures['finished']}, "
        f"cut {procedures['cut']}"
    )
    _print_procedures(procedures)
    if longest := report["longest"]:
        print(
            f"  longest: {longest['kind']} {longest['name']}, {longest['for_s']:.2f} s"
        )


def _print_procedures(procedures: dict[str, Any]) -> None:
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


def _result(report: dict[str, Any]) -> str:
    """Return the generation and the durations of an operation."""
    steps = {step["step"]: step["at_s"] for step in report["steps"]}
    last_s = report["steps"][-1]["at_s"] if report["steps"] else 0.0
    number = report["generation"]["new"]
    result = f", generation {number}" if number else ""
    if "switched" in steps:
        result += f", switched after {steps['switched']:.2f} s"
    return f"{result} ({last_s:.2f} s in all)"
