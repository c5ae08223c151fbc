"""The tables: what was measured, all of it, and as much as fits into a README.  Pure."""

from __future__ import annotations

from collections.abc import Iterable

from bench.compare import facts

BEGIN, END = "<!-- comparison -->", "<!-- end of comparison -->"
WORDS = {
    "code": "code",
    "serves": "serves",
    "out of service": "out of service",
    "a signal": "a signal",
    "none": "none",
    "never": "never",
    "next release: yes": "next release works",
    "next release: no": "no next release",
    "of": "{lost} of {requests}",
    "by kind": "{of} ({new} new, {kept} kept, {post} POST)",
    "head": "| | three releases: lost of requests "
    "| new connections, and all requests, are at the new version after "
    "(a bare start takes) "
    "| the old processes are gone after | the command takes "
    "| p99 while it releases, by that at rest "
    "| a version that cannot start: lost of requests, exit code, and then "
    "| the manager is killed: lost in 5 s, and then | the manager at rest |",
    "short head": "| | three releases: lost of requests "
    "| all requests are at the new version after "
    "| a version that cannot start: lost, and then "
    "| the manager is killed: lost, and then | memory of the manager |",
    "and": ", ",
}
COLUMNS, SHORT_COLUMNS = 9, 6


def table(found: Iterable[facts.Found], words: dict[str, str] = WORDS) -> str:
    """Return the lines of the table."""
    lines = [words["head"], "|" + "---|" * COLUMNS]
    return "\n".join([*lines, *(row(each, words) for each in found)])


def row(found: facts.Found, words: dict[str, str] = WORDS) -> str:
    """Return the line of a tool."""
    releases = found.releases
    first = facts.median(each.first_new_s for each in releases)
    new = facts.median(each.all_new_s for each in releases)
    gone = facts.median(each.gone_s for each in releases)
    took = facts.median(each.command_s for each in releases)
    ratio = words["none"] if found.p99_ratio is None else f"{found.p99_ratio:.1f}"
    code = words["a signal"]
    if found.broken_code is not None:
        code = f"{words['code']} {found.broken_code}"
    again = "next release: yes" if found.killed_released else "next release: no"
    cells = (
        found.tool,
        lost_by_kind(found.lost, words),
        f"{seconds(first, words['never'])}; {seconds(new, words['never'])} "
        f"({seconds(found.bare_s, '')})",
        seconds(gone, words["never"]),
        seconds(took, words["a signal"]),
        ratio,
        f"{lost(found.broken_lost, words)}; {code}; "
        f"{outcome(words, serves=found.broken_serves)}",
        f"{lost(found.killed_lost, words)}; "
        f"{outcome(words, serves=found.killed_serves)}; {words[again]}",
        f"{found.memory_mb:.0f} MB, {found.cpu_ms:.0f} ms",
    )
    return "| " + " | ".join(cells) + " |"


def short_table(found: Iterable[facts.Found], words: dict[str, str] = WORDS) -> str:
    """Return the lines of the table of a README, which a narrow window has room for."""
    lines = [words["short head"], "|" + "---|" * SHORT_COLUMNS]
    return "\n".join([*lines, *(short_row(each, words) for each in found)])


def short_row(found: facts.Found, words: dict[str, str] = WORDS) -> str:
    """Return the line of a tool in the table of a README."""
    new = facts.median(each.all_new_s for each in found.releases)
    again = "next release: yes" if found.killed_released else "next release: no"
    broken = f"{found.broken_lost.total:,}", outcome(words, serves=found.broken_serves)
    killed = (
        f"{found.killed_lost.total:,}",
        outcome(words, serves=found.killed_serves),
        words[again],
    )
    cells = (
        found.tool,
        lost(found.lost, words),
        seconds(new, words["never"]),
        words["and"].join(broken),
        words["and"].join(killed),
        f"{found.memory_mb:.0f} MB",
    )
    return "| " + " | ".join(cells) + " |"


def lost(found: facts.Lost, words: dict[str, str]) -> str:
    """Return how many were lost."""
    return words["of"].format(lost=f"{found.total:,}", requests=f"{found.requests:,}")


def lost_by_kind(found: facts.Lost, words: dict[str, str]) -> str:
    """Return how many were lost, and of which clients if there are any."""
    of = lost(found, words)
    return words["by kind"].format(of=of, **found.kinds) if found.total else of


def outcome(words: dict[str, str], *, serves: bool) -> str:
    """Return what is left."""
    return words["serves" if serves else "out of service"]


def seconds(value: float | None, never: str) -> str:
    """Return a time."""
    return never if value is None else f"{value:.1f} s"


def between_marks(page: str, text: str) -> str:
    """Return a page with another text between its marks.

    Raises ValueError if the page has not each mark once.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"the page has not {BEGIN} and {END} once each")
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"the page has {END} before {BEGIN}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"
