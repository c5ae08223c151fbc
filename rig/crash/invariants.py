"""What is true of a host soon after any death: one function for each invariant.

Each returns what is wrong, or nothing.  A host is compared with one to which the same
happened without a death (`undisturbed`): it may have no file and no descriptor more.
"""

from __future__ import annotations

import collections
from collections.abc import Callable

from rig.crash.scenarios import BEFORE, NAME
from rig.crash.seen import OURS, Seen

Invariant = Callable[[Seen, Seen | None], str]


def the_command_said_the_truth(seen: Seen, _: Seen | None) -> str:
    """A command that was waiting ended with the exit code of what is true now."""
    if seen.code in (None, seen.outcome.code, seen.outcome.or_code):
        return ""
    return f"exit code {seen.code}, not {seen.outcome.code}"


def the_status_is_final(seen: Seen, _: Seen | None) -> str:
    """The app is what was asked for, and nothing is under way."""
    wanted = seen.outcome.status
    if not seen.supervisor:
        return "" if wanted == "gone" else "no supervisor answers"
    if wanted == "gone":
        return "a supervisor still answers"
    status = seen.row["status"] if seen.row else ""
    return "" if status == wanted else f"status {status!r}, not {wanted!r}"


def every_instance_is_ready(seen: Seen, _: Seen | None) -> str:
    """As many instances are ready as were asked for."""
    found = seen.row["instances"]["ready"] if seen.row else 0
    wanted = seen.outcome.instances
    return "" if found == wanted else f"{found} instances are ready, not {wanted}"


def one_generation_is_left(seen: Seen, _: Seen | None) -> str:
    """The generation that serves is the only one; a stopped app has none."""
    generations = seen.described["generations"] if seen.described else []
    roles = [generation["role"] for generation in generations]
    wanted = ["serving"] if seen.outcome.instances else []
    return "" if roles == wanted else f"generations {roles}, not {wanted}"


def the_release_answers(seen: Seen, _: Seen | None) -> str:
    """Every new connection is answered by the release that has to serve."""
    wrong = [release for release in seen.releases if release != seen.outcome.release]
    return f"new connections: {wrong}, not {seen.outcome.release}" if wrong else ""


def listed_processes_live(seen: Seen, _: Seen | None) -> str:
    """The pids in the list are the keeper's children, one for each ready instance.

    What outlived all three is nobody's child; it was looked for among what lives.
    """
    listed = set(seen.row["pids"]) if seen.row else set()
    children = seen.children - _beside(seen)
    if seen.survived:
        children |= listed & set(seen.processes)
    if listed != children:
        return f"listed {sorted(listed)}, children of the keeper {sorted(children)}"
    ready = seen.row["instances"]["ready"] if seen.row else 0
    return "" if len(listed) == ready else f"{ready} ready, but pids {sorted(listed)}"


def listed_processes_listen(seen: Seen, _: Seen | None) -> str:
    """Each listed process holds the one socket of its app that listens, and so do ours."""
    listed = set(seen.row["pids"]) if seen.row else set()
    held = set().union(*seen.listening.values())
    apps = [each for each in (listed, _beside(seen) & held) if each]
    if not apps:
        return f"{seen.listening} still listens" if seen.listening else ""
    if len(seen.listening) != len(apps):
        return f"{len(seen.listening)} sockets listen: {seen.listening}"
    ours = {seen.supervisor[name] for name in OURS}
    found = sorted(map(sorted, seen.listening.values()))
    wanted = sorted(sorted(each | ours) for each in apps)
    return "" if found == wanted else f"held by {found}, not by {wanted}"


def no_other_process_lives(seen: Seen, _: Seen | None) -> str:
    """There are the processes of gapless, the listed instances, and nothing else."""
    known = set(seen.row["pids"]) if seen.row else set()
    known |= {seen.supervisor.get(name, 0) for name in OURS}
    known |= _beside(seen)
    others = {pid: seen.processes[pid] for pid in set(seen.processes) - known}
    return f"other processes: {others}" if others else ""


def no_file_is_left(seen: Seen, undisturbed: Seen | None) -> str:
    """There is no file that an undisturbed host does not have.

    Where nothing runs, what was half-written waits for the next supervisor, and so does the
    name of the socket of one that was killed.
    """
    more = seen.files - undisturbed.files if undisturbed else set()
    if not seen.supervisor:
        left = (".part", "supervisor.sock")
        more = {file for file in more if not file.endswith(left)}
    return f"files left: {sorted(more)}" if more else ""


def no_descriptor_is_left(seen: Seen, undisturbed: Seen | None) -> str:
    """None of ours holds a descriptor that an undisturbed one does not hold."""
    if undisturbed is None:
        return ""
    wrong = []
    # An upgrade that failed left the guardian as it was: one that was renewed has one less.
    stays = seen.outcome.or_code and seen.code == seen.outcome.or_code
    for name, kinds in seen.descriptors.items():
        if stays and name == "guardian_pid":
            continue
        usual = undisturbed.descriptors.get(name, {})
        for kind, count in kinds.items():
            if count > usual.get(kind, 0):
                what = f"{count} {kind}, not {usual.get(kind, 0)}"
                wrong.append(f"{name.partition('_pid')[0] or name}: {what}")
    return "; ".join(wrong)


def nothing_went_wrong_inside(seen: Seen, _: Seen | None) -> str:
    """No process of ours wrote an error."""
    return seen.error_output[-600:]


def the_other_app_is_as_it_has_to_be(seen: Seen, _: Seen | None) -> str:
    """The other app is what was asked for, too."""
    wanted, status = seen.outcome.beside, seen.beside["status"] if seen.beside else ""
    if wanted and status != wanted:
        return f"status {status!r}, not {wanted!r}"
    return ""


def the_order_is_kept(seen: Seen, _: Seen | None) -> str:
    """No instance began before one of the app that it is after, or outlived it."""
    lives: collections.Counter[str] = collections.Counter()
    for line in seen.notes:
        word, name = line.split()
        lives[name] += {"begins": 1, "ends": -1}[word]
        if lives[NAME] > 0 and lives[BEFORE] < 1:
            return ", ".join(seen.notes)
    return ""


def _beside(seen: Seen) -> set[int]:
    """Return the processes of the other app."""
    return set(seen.beside["pids"]) if seen.beside else set()


INVARIANTS: tuple[Invariant, ...] = (
    the_command_said_the_truth,
    the_status_is_final,
    every_instance_is_ready,
    one_generation_is_left,
    the_release_answers,
    listed_processes_live,
    listed_processes_listen,
    no_other_process_lives,
    no_file_is_left,
    no_descriptor_is_left,
    nothing_went_wrong_inside,
    the_other_app_is_as_it_has_to_be,
    the_order_is_kept,
)


def broken(seen: Seen, undisturbed: Seen | None) -> dict[str, str]:
    """Return the name of each invariant that does not hold, and what is wrong."""
    found = {each.__name__: each(seen, undisturbed) for each in INVARIANTS}
    return {name: wrong for name, wrong in found.items() if wrong}
