"""Every world that can follow from a first one, and what must hold in each.

Promise 1: new connections meet a program that serves, unless it ended by itself.
Promise 2: a generation whose instance ended while it was not proven never serves for good,
and the command does not say that it was done.
Promise 3: from every world, without any further fault, a good end can be reached; and every
end is a good one: one generation serves in every seat, nothing else is left, and the
command's outcome is true.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gapless.base import codec
from gapless.base.errors import GaplessError, NotFoundError
from gapless.supervisor.memory.spec import AppSpec, Ready, Restart, Stop
from rig.model import world as worlds
from rig.model.supervisor import ModelSupervisor, patched, request
from rig.model.world import APP, NOW, Death, Effects, World

Turn = Callable[[ModelSupervisor], None]


class BrokenPromiseError(AssertionError):
    """A world in which a promise does not hold, and how it came about."""


@dataclass(slots=True)
class Explored:
    """The worlds that were found, and how each can go on."""

    next_of: dict[str, list[str]] = field(default_factory=dict)
    came_by: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Of each world but the first: the one before, and the step from it."""
    complete: bool = True

    def story(self, text: str) -> str:
        """Return the steps that lead to a world."""
        steps = []
        while text in self.came_by:
            text, step = self.came_by[text]
            steps.append(step)
        return "\n".join(reversed(steps))


def wanted(instances: int) -> dict[str, Any]:
    """Return the app of the model."""
    spec = AppSpec(
        name=APP,
        command=("true",),
        directory="/",
        instances=instances,
        preload=False,
        ready=Ready(timeout_s=3.0),
        stop=Stop(drain_timeout_s=2.0, kill_timeout_s=1.0),
        restart=Restart(max=2, min_uptime_s=1.0, delay_s=1.0),
        min_healthy_s=1.0,
    )
    plain: dict[str, Any] = codec.encode(spec)
    return plain


# --- turns of the supervisor --------------------------------------------------------------


def _turns(
    text: str, plain: Any, turn: Turn, *, now: float = NOW
) -> Iterator[tuple[str, str]]:
    """Yield the world after a turn, and after each death in it."""
    count, last = 0, None
    while last is None or last <= count:
        world = worlds.thawed(text, plain)
        effects = Effects(world, last)
        died = False
        with patched(effects, [now]):
            try:
                supervisor = ModelSupervisor(effects)
                turn(supervisor)
                supervisor.settle()
            except Death:
                died = True
                _bury(world)
        if last is None:
            count = effects.count
            yield "", worlds.frozen(world, now)
            if not world["deaths"]:
                return
        elif died:
            yield f", died after effect {last}", worlds.frozen(world, now)
        last = (last or 0) + 1


def _bury(world: World) -> None:
    """Let the supervisor be dead: what only it held is gone."""
    world["supervisor"] = None
    world["deaths"] -= 1
    world["outbox"] = []
    if world["client"] in ("waits", "asks"):
        world["client"] = "lost"
    alive = [c["socket"] for c in world["children"].values() if c["state"] == "alive"]
    under_way = [sent["name"] for sent in world["inbox"] if sent["op"] == "hold"]
    for name in list(world["sockets"]):
        if name not in (*world["held"], *under_way, *alive):
            del world["sockets"][name]
    if world["steered"] not in world["sockets"]:
        left = [n for n, sock in world["sockets"].items() if sock["listening"]]
        world["steered"] = next(iter(left), None)


def _ask(world: World, op: str, plain: dict[str, Any]) -> Turn:
    """Return the turn in which the client asks, or asks again."""
    follows = world["client"] == "lost"

    def turn(supervisor: ModelSupervisor) -> None:
        own = supervisor.world
        connection: Any = supervisor.connection
        message = request(op, plain, again=follows)
        try:
            supervisor.dispatch.serve(message, connection)
        except NotFoundError:
            own["client"] = "asks"
        except GaplessError as error:
            own["client"] = f"error: {error.message}"
        else:
            own["client"] = "waits"

    return turn


# --- what can happen ----------------------------------------------------------------------


def steps(text: str, op: str, plain: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield every step from a world, and the world after it."""
    world = worlds.thawed(text)
    yield from _steps_outside(text)
    if world["supervisor"] is None:
        if world["inbox"]:
            return  # the keeper takes in what the last one sent before it meets the next
        for how, after in _turns(text, plain, ModelSupervisor.begin):
            yield f"a supervisor starts{how}", after
        return
    if world["outbox"]:

        def hear(supervisor: ModelSupervisor) -> None:
            supervisor.hear(supervisor.world["outbox"].pop(0))

        event = world["outbox"][0]
        said = f"{event['event']} {event.get('key', event.get('name'))}"
        for how, after in _turns(text, plain, hear):
            yield f"it hears {said}{how}", after
        return
    if world["client"] in ("asks", "lost"):
        for how, after in _turns(text, plain, _ask(world, op, plain)):
            yield f"the client {world['client']}{how}", after
    killed = any(c["signal"] == 2 for c in world["children"].values())
    wake_at = None if killed else _wake_at(text, plain)  # what is killed ends at once
    if wake_at is not None:
        now = max(wake_at, NOW + 0.001)
        for how, after in _turns(text, plain, lambda _: None, now=now):
            yield f"{now - NOW:g} s pass{how}", after


def _wake_at(text: str, plain: Any) -> float | None:
    world = worlds.thawed(text, plain)
    effects = Effects(world)
    with patched(effects, [NOW]):
        return ModelSupervisor(effects).wake_at()


def _steps_outside(text: str) -> Iterator[tuple[str, str]]:
    """Yield what keeper and programs may do."""
    world = worlds.thawed(text)
    if world["inbox"]:
        key = world["inbox"][0]["key"]
        yield f"{key} is started", _changed(text, worlds.start)
        if world["crashes"]:
            yield f"{key} is refused", _changed(text, _refuse)
    for key, child in world["children"].items():
        if child["state"] != "alive":
            continue
        if child["signal"]:
            yield f"{key} ends", _changed(text, partial(worlds.end, key=key, code=143))
        elif child["call"] is None and child["stage"] != "listens":
            yield f"{key} calls", _changed(text, partial(worlds.call, key=key))
        if world["crashes"] and not child["signal"]:
            yield f"{key} crashes", _changed(text, partial(_crash, key=key))


def _changed(text: str, change: Callable[[World], object]) -> str:
    world = worlds.thawed(text)
    change(world)
    return worlds.frozen(world)


def _refuse(world: World) -> None:
    key = world["inbox"][0]["key"]
    world["crashes"] -= 1
    _fail(world, key)
    worlds.start(world, refused=True)


def _crash(world: World, key: str) -> None:
    world["crashes"] -= 1
    _fail(world, key)
    worlds.end(world, key, 1)


def _fail(world: World, key: str) -> None:
    """Note that a generation lost an instance before it was proven."""
    number = int(key.split("/")[1])
    living = world["supervisor"]
    app = living["app"] if living else world["notes"].get(f"app/{APP}")
    generations = app["generations"] if app else []
    for generation in generations:
        proven = generation["role"] not in ("trial", "proving")
        if generation["number"] == number and proven:
            return
    if number not in world["failed"] and len(generations) > 1:
        world["failed"] = sorted([*world["failed"], number])


# --- promises -----------------------------------------------------------------------------


def broken(world: World) -> str:
    """Return which promise does not hold in a world; empty if all hold."""
    app = (world["supervisor"] or {}).get("app") or {"generations": []}
    serving = [g for g in app["generations"] if g["role"] == "serving"]
    for generation in serving:
        if generation["number"] in world["failed"] and not generation.get("failure"):
            return f"generation {generation['number']} failed, and was proven"
    taking = world["steered"]
    if taking is None:
        return ""
    own = f"{APP}/{taking.split('/')[2]}/"
    listening = [
        child
        for key, child in world["children"].items()
        if key.startswith(own)
        and child["state"] == "alive"
        and child["stage"] == "listens"
    ]
    if listening and all(child["signal"] for child in listening):
        return f"new connections meet {taking}, whose instances were told to end"
    return ""


def is_good_end(world: World, instances: int) -> str:
    """Return what is wrong with a world in which nothing more happens; or nothing."""
    living = world["supervisor"]
    if living is None or world["inbox"] or world["outbox"]:
        return "something waits for ever"
    generations = living["app"]["generations"] if living["app"] else []
    roles = [g["role"] for g in generations]
    outcome = world["client"]
    gave_up = living["app"].get("stop_reason", "") if living["app"] else ""
    if not generations and (outcome == "failed" or gave_up.startswith("gave up")):
        left = [*world["children"], *world["held"]]
        return f"left over: {left}" if left else ""
    if roles != ["serving"]:
        return f"the generations are {roles}, the client: {outcome}"
    (serving,) = generations
    keys = sorted(i["key"] for i in serving["instances"])
    good = sorted(
        key
        for key, child in world["children"].items()
        if child["stage"] == "listens" and child["state"] == "alive"
    )
    if keys != good or len(keys) != instances or good != sorted(world["children"]):
        return f"instances {keys}, children {world['children']}"
    sockets = [name for name in world["held"] if name.startswith("socket/")]
    if sockets != [world["steered"]] or len(world["held"]) != 1 + instances:
        return f"held: {world['held']}, steered: {world['steered']}"
    if outcome not in ("done", "failed"):
        return f"the client: {outcome}"
    if (outcome == "done") != (serving["number"] > 1) and world["second"]:
        return f"{outcome}, and generation {serving['number']} serves"
    return ""


# --- the search ---------------------------------------------------------------------------


def explore(first: str, op: str, *, instances: int, most: int = 1_000_000) -> Explored:
    """Find all worlds, breadth first; not more than *most*.  Raises BrokenPromiseError."""
    plain = wanted(instances)
    explored = Explored()
    waiting = collections.deque([first])
    known = {first}
    while waiting:
        text = waiting.popleft()
        if len(known) >= most:
            explored.complete = False
            break
        after = explored.next_of[text] = []
        for step, found in steps(text, op, plain):
            after.append(found)
            if found in known:
                continue
            known.add(found)
            explored.came_by[found] = text, step
            waiting.append(found)
            if reason := broken(worlds.thawed(found)):
                raise BrokenPromiseError(f"{reason}\n{explored.story(found)}")
    _check_ends(explored, instances)
    return explored


def _check_ends(explored: Explored, instances: int) -> None:
    """Check that every end is good, and that one can be reached from everywhere."""
    before = collections.defaultdict(list)
    ends = []
    for text, after in explored.next_of.items():
        world = worlds.thawed(text)
        others = [each for each in after if each != text]
        # A crash may still come, and need not.
        calm = [each for each in others if _faults(each) == _faults(text)]
        if not calm:
            if reason := is_good_end(world, instances):
                raise BrokenPromiseError(f"{reason}\n{explored.story(text)}")
            ends.append(text)
        for each in calm:
            before[each].append(text)
    if not explored.complete:
        return
    reached, waiting = set(ends), list(ends)
    while waiting:
        for each in before[waiting.pop()]:
            if each not in reached:
                reached.add(each)
                waiting.append(each)
    stuck = [text for text in explored.next_of if text not in reached]
    if stuck:
        raise BrokenPromiseError(f"it never ends\n{explored.story(stuck[0])}")


def _faults(text: str) -> tuple[int, int]:
    world = worlds.thawed(text)
    return world["crashes"], world["deaths"]


# --- where it begins ----------------------------------------------------------------------


def first_start(*, crashes: int, deaths: int) -> str:
    """Return a world without an app; its client asks for the first start."""
    world = worlds.empty(crashes=crashes, deaths=deaths)
    world["second"] = False
    return worlds.frozen(world)


def running(instances: int, *, crashes: int, deaths: int) -> str:
    """Return a world whose first generation serves; its client asks for a reload."""
    plain = wanted(instances)
    text = first_start(crashes=0, deaths=0)
    for _ in range(200):
        calm = [after for _, after in steps(text, "start", plain) if after != text]
        if not calm:
            break
        text = calm[0]
    world = worlds.thawed(text)
    assert world["client"] == "done", world
    world |= {"client": "asks", "crashes": crashes, "deaths": deaths, "second": True}
    world["supervisor"]["app"].pop("last_report")
    return worlds.frozen(world)
