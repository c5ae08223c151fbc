"""Whoever may write the coordinator may delay a rollout, and do nothing more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gapless.agent.address import HostAddresses
from gapless.agent.turn.release_source import ReleaseSource
from gapless.base.errors import (
    GaplessError,
    MisuseError,
    NotFoundError,
    ReleaseError,
    UnavailableError,
)
from gapless.base.names import ReleaseName, is_host_name
from gapless.cli.fleet import follower_thread
from gapless.config.toml.fleets import Fleet
from gapless.coordinator.leases import Slots
from gapless.coordinator.memory import MemoryCoordinator
from gapless.releases import copies, current, file_list, reports
from gapless.releases.model import Release, ReleaseSpec
from gapless.rollout import records
from gapless.rollout.model import HostReport, Phase, Rollout
from gapless.rollout.policy import Policy
from gapless.rollout.store import FleetStore

NEW, OLD = "shop-20260101000002", "shop-20260101000001"
ROLLOUT = Rollout(app="shop", number=7, release=NEW, previous=OLD)
REPORT = HostReport(host="a", release=OLD, turn=(7, 1), phase=Phase.WATCHING)
EVIL = "../../../../evil"
NESTED = json.loads("[" * 200 + "]" * 200)


class Shared:
    """A coordinator that an attacker writes, and the store of an agent."""

    def __init__(self) -> None:
        self.coordinator = MemoryCoordinator()
        self.complaints: list[str] = []
        self.store = FleetStore(
            self.coordinator, "shop", now=lambda: 0.0, complain=self.complaints.append
        )

    def put(self, key: str, content: bytes) -> None:
        """Write what the attacker likes."""
        found = self.coordinator.read(key)
        self.coordinator.write(key, content, expected=found.version if found else 0)

    def forge(self, key: str, kind: str, good: bytes, **changed: Any) -> None:
        """Write a good record with other fields; its checksum is right."""
        value = records.decode(kind, good)
        for path, each in changed.items():
            *above, last = path.split("__")
            place = value
            for name in above:
                place = place[name]
            place[last] = each
        self.put(key, records.encode(kind, value))


@pytest.fixture
def shared() -> Shared:
    """Return a coordinator with a good rollout and a good report."""
    found = Shared()
    found.put("rollout/shop", records.encode_rollout(ROLLOUT))
    found.put("hosts/shop/a", records.encode_host(REPORT))
    return found


def _pairs(wrong: dict[str, tuple[Any, ...]]) -> list[tuple[str, Any]]:
    """Return each field with each of its wrong values."""
    return [(field, each) for field, values in wrong.items() for each in values]


NO_RELEASES = (
    *(EVIL, "..", ".", "/etc", f"../{NEW}", f"{NEW}/../x", f"{NEW}\n", f".{NEW}"),
    *("other-20260101000002", "shop-2026010100000\u0662", "shop-1", f"{NEW}\0"),
    *("x" * 5000, 7, None, [NEW], {"a": 1}),
)
NO_SECONDS = (-1, 1e30, float("inf"), float("nan"), "1", None, True, 2**70)
WRONG_ROLLOUT = {
    "release": NO_RELEASES,
    "previous": NO_RELEASES,
    "number": (0, -1, 1.5, True, "7", 2**63, 10**18, None),
    "attempt": (0, -1, True, 2**64, []),
    "app": ("other", "", "../shop", 7),
    "state": ("evil", "", None, 1, ["rolling"]),
    "digest": ("z" * 64, "ab", 7, "../x"),
    "reason": (7, None, "x" * 100_000, "a\0b", NESTED),
    "began_at": (0, "2026\n", "x" * 99),
    "by": ([], "x" * 1000),
    "settled": (1, "yes", None),
    "policy": (None, [], "x", 1),
    "policy__slots": ("0", "x", "-1", 1, "", "\u0661", "9" * 9),
    "policy__waves": ([1], ["0%"], "10%", ["5%"] * 101),
    "policy__canary": ([1], ["a\nb"], ["../a"], ["a"] * 1001),
    "policy__freeze": (["x"], [7], ["99:99 - 00:00"]),
    "policy__bake_s": NO_SECONDS,
    "policy__change_timeout_s": NO_SECONDS,
    "policy__slot_ttl_s": (*NO_SECONDS, 0),
    "policy__gone_s": (*NO_SECONDS, 0),
    "policy__max_failures": (-1, 2**63, 0.5, "1"),
    "weather": (NESTED, "\ud800", {"x" * 50_000: float("nan")}),
}
WRONG_REPORT = {
    "host": ("b", "a\n", "../a", "", 7, None, "x" * 500),
    "release": (EVIL, "a\nb", 7, None, "x" * 500, "/x"),
    "in_use": (7, None, EVIL, [7], [EVIL], ["a\nb"], ["x" * 500], [OLD] * 101),
    "turn": (None, 7, [1], [1, 2, 3], ["1", 2], [-1, 1], [2**63, 1], [1.5, 1]),
    "phase": ("evil", None, 3),
    "reason": (7, "x" * 100_000, "a\0b"),
    "beat": ("1", -1, 2**64, 0.5),
    "at": (7, "\x1b[2J", "x" * 99),
    "agent": (7, "a b", "x" * 99),
    "addresses": (
        *("a:1", ["a"], [7], ["a:1"] * 257, {"a": 1}, ["a:1;}\nx:2"], ["a b:1"]),
        *([":80"], ["a:0"], ["a:99999"], ["a:\u0661"], ["[x]:1"]),
    ),
    "health": ("a:x", "http://a:1", "a:1\r\nX: y", 7, "-a:1"),
    "drains": (1, "no", None),
    "recycles": (0, "yes"),
}


@pytest.mark.parametrize(("field", "wrong"), _pairs(WRONG_ROLLOUT))
def test_a_rollout_that_is_wrong_is_named_once_and_skipped(
    shared: Shared, field: str, wrong: object
) -> None:
    """It never raises, and a publisher may write a good one in its place."""
    good = records.encode_rollout(ROLLOUT)
    shared.forge("rollout/shop", "rollout", good, **{field: wrong})
    assert shared.store.rollout()[0] is None
    assert shared.store.rollout()[0] is None
    (complaint,) = shared.complaints
    assert complaint.startswith("rollout/shop is ignored: ")
    assert complaint.isprintable()
    assert len(complaint) < 300
    if field != "weather" and wrong is not NESTED:
        assert field.rpartition("__")[2] in complaint
    begun = shared.store.begin(NEW, lambda n, _: replace(ROLLOUT, number=n), OLD)
    assert begun == shared.store.rollout()[0]


@pytest.mark.parametrize(("field", "wrong"), _pairs(WRONG_REPORT))
def test_a_report_that_is_wrong_is_named_once_and_skipped(
    shared: Shared, field: str, wrong: object
) -> None:
    """The hosts beside it are seen; the host itself begins anew."""
    good = records.encode_host(replace(REPORT, host="b"))
    shared.put("hosts/shop/b", good)
    shared.forge("hosts/shop/a", "host", records.encode_host(REPORT), **{field: wrong})
    for _ in range(2):
        assert list(shared.store.hosts.all()) == ["b"]
        assert shared.store.hosts.own("a")[0] == HostReport(host="a")
    (complaint,) = shared.complaints
    assert complaint.startswith("hosts/shop/a is ignored: ")
    assert field in complaint
    assert complaint.isprintable()


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"null", b"[]", b"7", b'"x"', b"\xff", b"{", b"NaN", b"9" * 5000),
        *(b"[" * 100_000, b'{"a":' * 50_000, b"[" * 900 + b"]" * 900),
        *(b'{"format": 1e999}', b'{"format": [], "sha256": 1, "value": {}, "kind": 1}'),
        b'{"format": 1, "kind": "rollout", "value": {}, "sha256": {}}',
        b" " * (300 << 10),
    ],
)
@pytest.mark.parametrize("key", ["rollout/shop", "hosts/shop/b", "history/shop/7"])
def test_what_is_no_record_is_skipped(key: str, content: bytes) -> None:
    """Whatever bytes they are: nothing is raised, and one complaint is enough."""
    shared = Shared()
    entries = shared.coordinator._entries
    shared.put(key, b"")
    entries[key] = replace(entries[key], value=content)  # beyond any limit of ours
    for _ in range(2):
        assert shared.store.rollout()[0] is None
        assert shared.store.hosts.all() == {}
        assert shared.store.history.read() == []
    assert len(shared.complaints) == 1


def test_a_later_version_may_add_fields(shared: Shared) -> None:
    """They are left out, at each level."""
    good = records.encode_rollout(ROLLOUT)
    shared.forge("rollout/shop", "rollout", good, mood="good", policy__moon=[1, {}])
    shared.forge("hosts/shop/a", "host", records.encode_host(REPORT), weather={"a": []})
    assert shared.store.rollout()[0] == ROLLOUT
    assert shared.store.hosts.all() == {"a": REPORT}


def test_texts_for_people_can_be_printed(shared: Shared) -> None:
    """Escape sequences reach no terminal, NUL no environment of a hook."""
    good = records.encode_rollout(ROLLOUT)
    bad = "one\ntwo \x1b]0;x\x07 \u202e"
    shared.forge("rollout/shop", "rollout", good, reason=bad, by=bad)
    found = shared.store.rollout()[0]
    assert found is not None
    assert found.reason == "one\ntwo \\x1b]0;x\\x07 \\u202e"
    assert found.by.isprintable()
    shared.store.hosts.write(replace(REPORT, host="c", reason="file \udcff\x1b"), 0)
    assert shared.store.hosts.all()["c"].reason == "file \\udcff\\x1b"


# --- history, slots, drains -------------------------------------------------------------


def test_history_is_as_suspicious(shared: Shared) -> None:
    """A wrong end of a rollout is skipped, and the others are shown."""
    shared.store.archive(ROLLOUT, "done")
    good = shared.coordinator.read("history/shop/7")
    assert good is not None
    wrong: dict[str, Any] = {
        "number": "7",
        "release": EVIL,
        "hosts": {"../x": {}},
        "hosts__a": {"reason": 7},
        "outcome": None,
        "changed": -1,
        "reason": NESTED,
    }
    for number, (field, each) in enumerate(wrong.items()):
        shared.forge(f"history/shop/{number}x", "history", good.value, **{field: each})
    for _ in range(2):
        (found,) = shared.store.history.read()
        assert found["number"] == 7
        assert found["hosts"]["a"]["release"] == OLD
    assert len(shared.complaints) == len(wrong)


def test_a_publisher_writes_nothing_that_every_host_would_ignore(
    shared: Shared,
) -> None:
    """Its configuration may be wrong in a way that no other check knows."""
    for wrong in (
        replace(ROLLOUT, policy=Policy(canary=("a/b",))),
        replace(ROLLOUT, policy=Policy(bake_s=1e12, canary=("a",))),
        replace(ROLLOUT, release="shop-1"),
    ):
        with pytest.raises(MisuseError, match="every host would ignore this rollout"):
            shared.store.write_rollout(wrong, expected=1)
    assert shared.store.rollout()[0] == ROLLOUT


def test_a_fault_with_one_app_does_not_end_the_agent_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a record did: it is told once, and the next turn tries again."""
    monkeypatch.setattr(follower_thread, "RETRY_S", 0.0)
    spec = ReleaseSpec(app="shop", base=str(tmp_path))
    fleet = Fleet(
        release=spec, policy=Policy(), file="", directory=str(tmp_path), etcd=None
    )
    thread = follower_thread.FollowerThread(fleet, "a", HostAddresses())
    faults = iter([RecursionError("deep \x1b[2J"), RecursionError("deep \x1b[2J")])

    def step() -> float:
        for fault in faults:
            raise fault
        return 1.0

    monkeypatch.setattr(thread.follower, "step", step)
    assert [thread._act() for _ in range(3)] == [0.0, 0.0, 1.0]
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2
    assert "RecursionError: deep \\x1b[2J; it serves on" in said[0]
    assert "goes on" in said[1]


def test_a_number_that_nothing_can_follow_is_said(shared: Shared) -> None:
    """Not written, and ignored by all: the publisher is told which record to remove."""
    shared.put("rollout/shop", records.encode_rollout(replace(ROLLOUT, number=10**15)))
    with pytest.raises(UnavailableError, match=r"no rollout can follow") as caught:
        shared.store.begin(NEW, lambda n, _: replace(ROLLOUT, number=n), OLD)
    assert "remove rollout/shop" in caught.value.hint


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"[" * 100_000, b"\xff", b'{"holder": 7}', b'{"holder": null}', b"[]"),
        *(b'{"holder": "a\\nb"}', b'{"holder": "' + b"x" * 5000 + b'"}'),
        *(
            b'{"holder": "a", "ttl_s": %b}' % b
            for b in (b"1e99", b"-1", b'"1"', b"null")
        ),
    ],
)
def test_a_slot_that_cannot_be_read_is_held_until_it_expires(content: bytes) -> None:
    """It delays one host by the time of a lease, and then it is free."""
    now = [0.0]
    coordinator = MemoryCoordinator()
    coordinator.write("slots/shop/0", content, expected=0)
    slots = Slots(coordinator, "slots/shop", "a 1", 10.0, lambda: now[0])
    assert slots.take(1) is None
    assert slots.holders() == {"0": "?"}
    now[0] = 10.0
    assert slots.take(1) is not None


def test_a_lease_of_another_holder_at_the_same_version_is_not_ours() -> None:
    """A coordinator that was replaced may count the same versions."""
    one, other = MemoryCoordinator(), MemoryCoordinator()
    slots = Slots(one, "slots/shop", "a 1", 10.0, lambda: 0.0)
    lease = slots.take(1)
    assert lease is not None
    assert slots.may_act(lease)
    Slots(other, "slots/shop", "b 2", 10.0, lambda: 0.0).take(1)
    slots._coordinator = other
    assert not slots.may_act(lease)


@pytest.mark.parametrize(
    "hosts", [7, None, [], {"a\n": "x"}, {"../a": "x"}, {"a": 7}, {"a": "\x1b"}]
)
def test_a_wrong_record_of_drains_gives_nobody_the_right(
    shared: Shared, hosts: object
) -> None:
    """`drain` refuses by name, and can be forced on the host; nothing is raised else."""
    shared.put("drains/shop", records.encode("drains", {"hosts": hosts}))
    with pytest.raises(UnavailableError, match="drains/shop cannot be trusted"):
        shared.store.drain_rights.take("a", "now", lambda _: "")


# --- names become paths -------------------------------------------------------------------


@pytest.fixture
def spec(tmp_path: Path) -> ReleaseSpec:
    """Return the releases of an app, with one release and one evil directory."""
    found = ReleaseSpec(app="shop", base=str(tmp_path / "base"))
    for path in (
        Path(found.path_of(OLD)),
        tmp_path / "evil",
        tmp_path / "base" / "evil",
    ):
        path.mkdir(parents=True)
        (path / "RELEASE").write_text("20260101000001\n")
    return found


@pytest.mark.parametrize(
    "name",
    [EVIL, "../../evil", "../evil", "..", "", "other-20260101000001", f"x/{OLD}"],
)
def test_a_name_that_leads_elsewhere_is_no_release(
    spec: ReleaseSpec, name: str
) -> None:
    """At each place that joins a name to a path, also if no decoder has seen it."""
    fleet = Fleet(release=spec, policy=Policy(), file="", directory="", etcd=None)
    assert not current.is_visible(spec, name)
    with pytest.raises(NotFoundError):
        current.require_visible(spec, name)
    with pytest.raises(GaplessError):
        ReleaseSource(fleet, "").fetch(replace(ROLLOUT, release=name), "")
    with pytest.raises(NotFoundError):
        copies.copy(spec, spec, name, "0" * 64, 0.0)
    joins: list[Callable[[], object]] = [
        lambda: spec.path_of(name),
        lambda: spec.reports_of(name),
        lambda: reports.failure_of(spec, name),
        lambda: file_list.path_of(spec, name),
        lambda: spec.directory(name),
        lambda: ReleaseName.of("shop", name),
    ]
    for join in joins:
        with pytest.raises(ValueError, match="release"):
            join()


def test_a_release_that_is_a_link_out_of_dist_is_none(
    spec: ReleaseSpec, tmp_path: Path
) -> None:
    """A link to another release of the directory is followed."""
    out, inside = Path(spec.path_of(NEW)), Path(spec.path_of("shop-20260101000003"))
    out.symlink_to(tmp_path / "evil")
    inside.symlink_to(OLD)
    assert not current.is_visible(spec, NEW)
    with pytest.raises(NotFoundError):
        current.require_visible(spec, NEW)
    assert current.is_visible(spec, inside.name)


def test_the_type_of_a_release_is_a_check() -> None:
    """Its parts are those of the directory; an app's name may have a dash."""
    name = ReleaseName("my-shop.eu-20260101000001")
    assert (name.app, name.stamp) == ("my-shop.eu", "20260101000001")
    assert json.dumps({"release": name}) == '{"release": "my-shop.eu-20260101000001"}'
    release = Release(app="shop", stamp="20260101000001", path="")
    assert ReleaseName.of("shop", release.name) == OLD


@pytest.mark.parametrize(
    ("name", "is_right"),
    [
        *((each, True) for each in ("a", "web-1.example.org", "s 2", "a:b", "x" * 128)),
        *((each, False) for each in ("", ".a", "a/b", "..", "a\n", " a", "a ", "-a")),
        *((each, False) for each in ("a\x1b", "a\u202e", "é", "x" * 129, "a;b", "a#b")),
    ],
)
def test_which_names_hosts_may_have(name: str, *, is_right: bool) -> None:
    """One rule, for the names that users give and for those in records."""
    assert is_host_name(name) is is_right


@pytest.mark.parametrize(
    "entries",
    [
        *([], 7, {"../x": {"directory": True}}, {"/x": {"directory": True}}),
        *(
            {"a/b": {"link": "x"}},
            {"a": {"link": "/"}, "a/b": {"sha256": "", "mode": 1}},
        ),
        *({"a": {}}, {"a": 7}, {"a": {"sha256": ""}}, {"a": {"link": 7}}, {"": {}}),
        *({"a": {"directory": True, "mode": 2**40}}, {"a\0": {"link": "x"}}),
        {"a": {"link": "x", "directory": True}},
    ],
)
def test_a_list_of_files_has_paths_in_the_release_only(
    spec: ReleaseSpec, entries: object
) -> None:
    """The digest by which it is known is that of a record."""
    folder = Path(spec.reports_of(OLD))
    folder.mkdir(parents=True)
    content = json.dumps(entries).encode()
    (folder / "files.json").write_bytes(content)
    with pytest.raises(ReleaseError, match="is no list of files"):
        file_list.read(spec, OLD, hashlib.sha256(content).hexdigest())
