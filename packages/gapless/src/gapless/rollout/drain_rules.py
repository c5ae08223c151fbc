"""Which hosts of a fleet may leave service by hand: never the last one.  Pure.

Rule 1: a host that wants to drain adds itself to the one record of draining hosts, and asks
`drain_refusal` before and after.  Of two hosts at once the second finds the first there.
Rule 2: a host that has to be recycled writes that in its report first, then asks
`recycle_refusal`.  The later of the two sees the other; both may step back, never do both
go on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from gapless.rollout.model import HostReport, Phase


def serving(
    hosts: Iterable[HostReport], draining: Collection[str], *, but: str
) -> list[str]:
    """Return the hosts that serve and go on serving, other than *but*."""
    return sorted(
        each.host
        for each in hosts
        if each.serves and each.host != but and each.host not in draining
    )


def drain_refusal(
    host: str, hosts: Collection[HostReport], draining: Collection[str]
) -> str:
    """Return why a host must not drain, or nothing.

    A host that does not serve, or that the fleet does not know, may always drain.
    """
    own = next((each for each in hosts if each.host == host), None)
    if own is None or not own.serves or serving(hosts, draining, but=host):
        return ""
    others = [each for each in hosts if each.host != host]
    if not others:
        return "there is no other host"
    return ", ".join(f"{each.host} {_state(each, draining)}" for each in others)


def recycle_refusal(
    report: HostReport, live: Iterable[HostReport], draining: Collection[str]
) -> str:
    """Return why a host must not be recycled now, or nothing.

    It waits for hosts that will serve again.  Hosts that are gone or were stopped are not
    waited for.
    """
    others = [each for each in live if each.host != report.host]
    if not (report.recycles and report.release):
        return ""
    if serving(others, draining, but=report.host):
        return ""
    back = [each for each in others if each.release and each.phase is not Phase.STOPPED]
    return ", ".join(f"{each.host} {_state(each, draining)}" for each in back)


def _state(report: HostReport, draining: Collection[str]) -> str:
    if report.drains or report.host in draining:
        return "drains"
    if report.phase is Phase.STOPPED:
        return "was stopped"
    return "is recycled" if report.release else "runs nothing"
