"""The report of a rehearsal, for people."""

from __future__ import annotations

from gapless.cli import output
from gapless.rehearsal.model import (
    FAILED,
    PASSED,
    TO_CANDIDATE,
    HandoffResult,
    OtherWay,
    Report,
)
from gapless.rehearsal.results import Result


def print_report(report: Report, kept: str) -> None:
    """Print a report; *kept* is its file."""
    print()
    verdict = _verdict(report)
    colour = "green" if report.outcome == PASSED else "red"
    print(output.paint(f"{report.app}: rehearsal {verdict}", colour))
    print(f"  current    {report.current}")
    print(f"  candidate  {report.candidate}")
    print(f"  requests {report.requests}, lost {report.lost}, cut {report.cut}")
    for handoff in report.handoffs:
        _print_handoff(handoff)
    if report.memory is not None:
        both = report.memory.current_bytes + report.memory.candidate_bytes
        print(
            f"  memory right after the switch: {output.size(both)} for two generations "
            f"({output.size(report.memory.current_bytes)} current, "
            f"{output.size(report.memory.candidate_bytes)} candidate)"
        )
    print()
    output.print_table(
        ["window", "requests", "lost", "p50 ms", "p99 ms", "how they were lost"],
        [_row(each) for each in report.windows],
    )
    for window in report.windows:
        for asked, count in window.different.items():
            text = f"{window.name}: {count} times another answer than before: {asked}"
            print(output.paint(text, "yellow"))
    for loss in report.losses:
        where = "an open connection" if loss.is_reused else "a new connection"
        print(
            f"lost at {loss.at_s:.2f} s, {loss.window}: {loss.kind} {loss.path} on "
            f"{where}: {loss.fate} {loss.detail}".rstrip()
        )
    if report.others:
        _print_others(report)
    for each in report.advice:
        print(output.paint(f"it would need {each.need}: {each.why}", "yellow"))
        print(f"  {each.write}")
    for note in report.notes:
        print(f"note: {note}")
    if kept:
        print(f"report: {kept}")


def _verdict(report: Report) -> str:
    if report.outcome == PASSED:
        return "passed: no request was lost"
    lost = f"{output.count(report.lost, 'request')} lost, {report.cut} cut"
    if report.outcome != FAILED:
        return f"not passed: {lost}"
    failed = report.handoffs[-1].direction
    what = (
        "the candidate did not take over" if failed == TO_CANDIDATE else "no way back"
    )
    return f"failed: {what}; {lost}"


def _print_handoff(handoff: HandoffResult) -> None:
    if not handoff.is_done:
        print(output.paint(f"  {handoff.direction}: {handoff.outcome}", "red"))
        print(f"    reason: {handoff.reason}")
        for line in handoff.log_tail[-5:]:
            print(f"    log: {line}")
        return
    starts = "-" if handoff.start_s is None else f"{handoff.start_s:.2f} s"
    ends = "-" if handoff.drained_s is None else f"{handoff.drained_s:.2f} s"
    counts = handoff.connections or {}
    seen = (
        f"connections {counts['seen']}, finished {counts['finished']}, cut {counts['cut']}"
        f", taken over {counts.get('taken_over', 0)}, unknown {counts.get('unknown', 0)}"
        if counts
        else "connections are not known"
    )
    print(
        f"  {handoff.direction}: started in {starts}, old one drained in {ends}; {seen}"
    )


def _row(result: Result) -> list[str]:
    fates = ", ".join(f"{fate} {count}" for fate, count in result.fates.items())
    return [
        result.name,
        str(result.requests),
        str(result.lost),
        _ms(result.p50_ms),
        _ms(result.p99_ms),
        fates or "-",
    ]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _print_others(report: Report) -> None:
    own = OtherWay(
        way="gapless", requests=report.requests, lost=report.lost, refused_s=0.0
    )
    print()
    output.print_table(
        ["the same change by", "requests", "lost", "over", "remark"],
        [
            [
                each.way,
                str(each.requests),
                str(each.lost),
                f"{each.refused_s:.1f} s" if each.lost and each is not own else "-",
                each.reason or "-",
            ]
            for each in (own, *report.others)
        ],
    )
