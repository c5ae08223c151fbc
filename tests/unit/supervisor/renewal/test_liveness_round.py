"""One check of liveness: who is asked, and what their answers mean."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from gapless.supervisor.memory.spec import Alive, Asks
from gapless.supervisor.renewal.liveness_round import LivenessRound, Verdict

HTTP = Alive(when=Asks.HTTP, path="/health", timeout_s=1.0)
LISTENING = Alive(when=Asks.LISTENING, timeout_s=1.0)


class Instances:
    """A listening socket, and instances that accept from it in an order."""

    def __init__(self, *order: str, waiting: bool | None = False) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.order, self.waiting = list(order), waiting
        self.held: dict[tuple[str, int], tuple[str, socket.socket]] = {}
        self.asked: list[str] = []
        self.unseen = False

    def accept(self) -> None:
        """Let whose turn it is accept what waits; nobody does once all had a turn."""
        while self.order:
            try:
                sock, client = self.listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            self.held[client] = self.order.pop(0), sock

    def answer(self, **statuses: int) -> None:
        """Let instances answer what they were asked; those without a status do not."""
        for key, sock in self.held.values():
            try:
                request = sock.recv(4096)
            except BlockingIOError:
                continue
            if request:
                assert request.startswith(b"GET /health HTTP/1.1\r\n")
                self.asked.append(key)
            if request and key in statuses:
                sock.sendall(b"HTTP/1.1 %d Well\r\n\r\n" % statuses[key])

    def acceptor(self, _: int, client: tuple[str, int]) -> tuple[bool, str] | None:
        """Return who has accepted a connection."""
        if self.unseen:
            return None
        found = self.held.get(client)
        return (False, "") if found is None else (True, found[0])

    def close(self) -> None:
        """Close all sockets."""
        for _, sock in self.held.values():
            sock.close()
        self.held.clear()
        self.listener.close()


@contextmanager
def made(*order: str, waiting: bool | None = False) -> Iterator[Instances]:
    """Make instances for one test."""
    found = Instances(*order, waiting=waiting)
    try:
        yield found
    finally:
        found.close()


def check_of(
    instances: Instances,
    selector: selectors.BaseSelector,
    keys: set[str],
    alive: Alive = HTTP,
) -> LivenessRound:
    """Return a check that begins now."""
    return LivenessRound(
        selector,
        instances.listener,
        alive,
        keys,
        began=0.0,
        acceptor=instances.acceptor,
        waits=lambda _: instances.waiting,
        changed=lambda: None,
    )


def judged(
    instances: Instances, alive: Alive, keys: set[str], **statuses: int
) -> dict[str, Verdict]:
    """Return the verdicts of a check; time passes only while nothing happens."""
    with selectors.DefaultSelector() as selector:
        check = check_of(instances, selector, keys, alive)
        now = 0.0
        for _ in range(1000):
            wake_at = check.go_on(now)
            if wake_at is None:
                assert not selector.get_map()
                return check.verdicts
            instances.accept()
            instances.answer(**statuses)
            found = selector.select(0.005)
            for ready, _ in found:
                ready.data()
            if not found:
                now = wake_at
        raise AssertionError("it did not end")


def test_each_instance_is_asked_once() -> None:
    """A connection that one accepts that was asked already is closed without a word."""
    with made("a", "a", "a", "b") as instances:
        found = judged(instances, HTTP, {"a", "b"}, a=200, b=302)
        assert {key: passed for key, (passed, _) in found.items()} == {
            "a": True,
            "b": True,
        }
        assert sorted(instances.asked) == ["a", "b"]


def test_an_answer_of_failure_fails_that_instance() -> None:
    """The others pass."""
    with made("a", "b") as instances:
        found = judged(instances, HTTP, {"a", "b"}, a=503, b=200)
        assert found["a"] == (False, "it answered 503")
        assert found["b"][0]


def test_no_answer_in_time_fails_that_instance() -> None:
    """It has accepted the connection, and says nothing."""
    with made("a", "b") as instances:
        found = judged(instances, HTTP, {"a", "b"}, b=200)
        assert found["a"] == (False, "no answer within 1 s")
        assert found["b"][0]


def test_where_nobody_accepts_all_fail() -> None:
    """The connection waits in the queue."""
    with made() as instances:
        why = "no connection is accepted within 1 s"
        expected = {"a": (False, why), "b": (False, why)}
        assert judged(instances, HTTP, {"a", "b"}) == expected


def test_one_that_never_accepts_fails_unless_it_waits_for_connections() -> None:
    """The kernel may wake another one each time."""
    others = ["a"] * 100
    with made(*others) as instances:
        found = judged(instances, HTTP, {"a", "b"}, a=200)
        assert found["b"] == (False, "it accepts no connection within 1 s")
    for waiting in (True, None):
        with made(*others, waiting=waiting) as instances:
            found = judged(instances, HTTP, {"a", "b"}, a=200)
            assert sorted(found) == ["a"]


def test_a_port_answers_when_a_connection_is_accepted() -> None:
    """Nothing is asked then."""
    with made("a") as instances:
        assert judged(instances, LISTENING, {"a"}) == {"a": (True, "")}
        assert instances.asked == []


def test_a_closed_port_fails() -> None:
    """A connection is refused at once."""
    with made() as instances:
        address = instances.listener.getsockname()
        instances.listener.close()
        instances.listener = socket.socket()
        instances.listener.bind(address)
        found = judged(instances, LISTENING, {"a"})
        assert found == {"a": (False, "connection refused")}


def test_where_the_kernel_does_not_tell_only_a_single_instance_is_judged() -> None:
    """Of several it is not known who has answered."""
    with made("a") as instances:
        instances.unseen = True
        assert judged(instances, HTTP, {"a"}, a=200)["a"][0]
    with made(*["a"] * 100) as instances:
        instances.unseen = True
        assert judged(instances, HTTP, {"a", "b"}, a=200) == {}


def test_an_answer_that_nobody_has_read_yet_is_no_failure() -> None:
    """The supervisor was held up for longer than the limit, and the answer waits."""
    with made("a") as instances, selectors.DefaultSelector() as selector:
        check = check_of(instances, selector, {"a"})

        def turn(now: float) -> float | None:
            """Do what the loop does in a turn: what is due, then what came."""
            wake_at = check.go_on(now)
            for ready, _ in selector.select(0.1):
                ready.data()
            return wake_at

        turn(0.0)
        instances.accept()
        turn(0.01)
        instances.answer(a=200)
        assert turn(5.0) is not None
        assert turn(5.01) is None
        assert check.verdicts["a"][0]


def test_one_that_does_not_answer_fails_whoever_is_held_up() -> None:
    """A supervisor that is late at every look finds it all the same."""
    with made("a") as instances, selectors.DefaultSelector() as selector:
        check, now = check_of(instances, selector, {"a"}), 0.0
        for _ in range(20):
            wake_at = check.go_on(now)
            if wake_at is None:
                break
            instances.accept()
            for ready, _ in selector.select(0.01):
                ready.data()
            now = wake_at + 1.0
        assert not check.verdicts["a"][0]
