"""What publishers do: a death after one effect, then what a user types next.

A round returns what is not true afterwards.  Nothing is undone between rounds: the next one
begins with what this one left.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from rig.crash.publisher.site import Site

Words = tuple[str, ...]
WATCH: Words = ("watch", "--once")
ROLLBACK: Words = ("rollback", "shop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one round does and what has to be so in the end."""

    words: Words
    """The command that dies."""
    serves: str
    """The version that serves in the end."""
    then: tuple[Words, ...] = ()
    """What is typed next; empty: the same command again."""
    serves_after_more: str = ""
    """The version if the command had done all when it died, and so is done twice."""
    codes: tuple[int, ...] = (0,)
    """Exit codes of the last command that are true."""
    codes_if_over: tuple[int, ...] = (0,)
    upload: str = ""
    """The upload whose outcome somebody reads."""
    outcome: str = ""
    outcome_may_lack: bool = False
    """Nobody may have read that it was there."""


@dataclass(slots=True)
class Round:
    """One round."""

    effects: list[str] = field(default_factory=list)
    died: bool = False
    faults: list[str] = field(default_factory=list)


Begin = Callable[[Site], Plan]


def publish(site: Site) -> Plan:
    """Publish an upload of the inbox, and the same command again."""
    path = _upload(site, site.inbox / "shop.tar.gz")
    new = str(site.version)
    return Plan(words=("publish", str(path)), serves=new, codes_if_over=(0, 3))


def publish_from_elsewhere(site: Site) -> Plan:
    """Publish a tarball that is copied, and the same command again."""
    site.version += 1
    path = site.pack(site.host.directory / "shop.tar.gz", str(site.version))
    return Plan(words=("publish", str(path)), serves=str(site.version))


def publish_then_watch(site: Site) -> Plan:
    """Publish an upload; `watch` comes next."""
    path = _upload(site, site.inbox / "shop.tar.gz")
    return Plan(words=("publish", str(path)), then=(WATCH,), serves=str(site.version))


def publish_what_fails(site: Site) -> Plan:
    """Publish a release that does not start, and the same command again."""
    before = site.serving()
    site.version += 1
    path = site.pack(site.inbox / "shop.tar.gz", f"bad{site.version}")
    return Plan(
        words=("publish", str(path)), serves=before, codes=(1,), codes_if_over=(1, 3)
    )


def rollback(site: Site) -> Plan:
    """Roll back, and the same command again: not one release further."""
    before, two_before = _three_releases(site)
    return Plan(words=ROLLBACK, serves=before, serves_after_more=two_before)


def rollback_then_watch(site: Site) -> Plan:
    """Roll back; `watch` finishes it, and then the same command comes again."""
    before, two_before = _three_releases(site)
    return Plan(
        words=ROLLBACK,
        then=(WATCH, ROLLBACK),
        serves=before,
        serves_after_more=two_before,
    )


def watch(site: Site) -> Plan:
    """Publish a pushed upload by `watch`, and `watch` again: its outcome is told."""
    site.version += 1
    path = site.pack(
        site.inbox / f"shop-{os.urandom(4).hex()}.tar.gz", str(site.version)
    )
    site.add_checksum(path)
    return Plan(words=WATCH, serves=str(site.version), upload=path.name, outcome="done")


def watch_what_fails(site: Site) -> Plan:
    """Watch, with a release that does not start."""
    before = site.serving()
    site.version += 1
    name = f"shop-{os.urandom(4).hex()}.tar.gz"
    path = site.pack(site.inbox / name, f"bad{site.version}")
    site.add_checksum(path)
    return Plan(
        words=WATCH, serves=before, codes=(0, 1), upload=path.name, outcome="failed"
    )


def watch_then_publish(site: Site) -> Plan:
    """Publish by `watch`; its outcome is told by the command that comes next."""
    plan = watch(site)
    path = site.inbox / plan.upload
    return replace(
        plan,
        then=(("publish", str(path)),),
        codes=(0, 3),
        codes_if_over=(0, 3),
        outcome_may_lack=True,
    )


SCENARIOS: tuple[Begin, ...] = (
    publish,
    publish_from_elsewhere,
    publish_then_watch,
    publish_what_fails,
    rollback,
    rollback_then_watch,
    watch,
    watch_what_fails,
    watch_then_publish,
)


def play(site: Site, begin: Begin, number: int) -> Round:
    """Let a publisher die after its effect *number*; 0: it does not die."""
    plan, found = begin(site), Round()
    code, found.effects = site.run_dying(number, plan.words)
    found.died = code == -signal.SIGKILL
    if not found.died:
        _expect(found, "exit code", code, plan.codes)
    is_over = _is_over(site, plan)
    if found.died:
        _type_next(site, plan, found, is_over=is_over)
    further = plan.serves_after_more if is_over and found.died else ""
    serves, linked = site.serving(), site.linked()
    _expect(found, "serves", serves, (further or plan.serves,))
    _expect(found, "link", linked, (serves,))
    _expect(found, "left over", site.left_over(), ([],))
    if plan.upload:
        wanted = (plan.outcome, "") if plan.outcome_may_lack else (plan.outcome,)
        _expect(found, "outcome", site.outcome(plan.upload), wanted)
    return found


def _type_next(site: Site, plan: Plan, found: Round, *, is_over: bool) -> None:
    """Run what a user types after the death."""
    *earlier, last = plan.then or (plan.words,)
    for words in earlier:
        site.host.ok(*words)
    done = site.host.gapless(*last)
    codes = plan.codes_if_over if is_over else plan.codes
    _expect(found, "exit code of the next", done.returncode, codes)
    if done.returncode not in codes or "Traceback" in done.stderr:
        found.faults.append(done.stdout + done.stderr)


def _is_over(site: Site, plan: Plan) -> bool:
    """Return whether the command had done all: nothing of it is written down any more."""
    work = site.dist / ".gapless-shop"
    tarball = Path(plan.words[-1])
    is_claimed = any(path.name in ("upload", "copy") for path in work.glob("*"))
    if (work / "change.json").exists() or is_claimed:
        return False
    if plan.words == ROLLBACK:
        return site.linked() == plan.serves
    return plan.words != WATCH and not tarball.exists()


def _expect(found: Round, what: str, value: object, wanted: tuple[object, ...]) -> None:
    if value not in wanted:
        shown = " or ".join(map(str, wanted))
        found.faults.append(f"{what}: {value}, not {shown}")


def _upload(site: Site, path: Path) -> Path:
    site.version += 1
    site.pack(path, str(site.version))
    site.add_checksum(path)
    return path


def _three_releases(site: Site) -> tuple[str, str]:
    """Publish a release; return the versions of the two good ones before it."""
    before = [each for each in site.host.json("releases", "shop") if each["proven"]]
    good = [each for each in before if not each["failure"]]
    site.version += 1
    path = site.pack(site.host.directory / "shop.tar.gz", str(site.version))
    site.host.ok("publish", path)
    two, one = (Path(each["path"], "VERSION").read_text() for each in good[-2:])
    return one, two
