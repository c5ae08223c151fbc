"""What is told Prometheus: each value belongs to the table, and is text that it reads."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from gapless.metrics import exposition, host_samples, rollout_samples
from gapless.metrics.families import FAMILIES
from gapless.metrics.host_samples import ProcessUsage
from gapless.metrics.rollout_samples import FleetRecords
from gapless.metrics.sample import Sample, sample
from gapless.rollout.model import HostReport, Phase, Rollout, State
from gapless.rollout.policy import Policy

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
ROW: dict[str, Any] = {
    "name": "shop",
    "status": "online",
    "release": "shop-20261101120000",
    "generation": 3,
    "uptime_s": 12.5,
    "usage": [
        {
            "generation": generation,
            "ordinal": 0,
            "phase": phase,
            "memory_bytes": 1000,
            "cpu_s": 1.5,
        }
        for generation, phase in ((2, "draining"), (3, "ready"))
    ],
    "instances": {"ready": 1, "wanted": 2},
    "restarts_by": {"exit": 4},
    "memory_bytes": 2000,
    "processes": 2,
    "requests": 7,
    "procedures": 1,
    "procedures_named": [{"for_s": 30.0}],
    "outgoing": [{}],
    "log_lines_lost": 5,
    "log_trouble": None,
    "totals": {
        "operations": {"reload done": 2, "reload reverted": 1},
        "took_s": {"reload done": 5.5, "reload reverted": 1.5},
        "connections": {"finished": 40, "cut": 1, "given_back": 2},
        "cut": {"connections": 1},
    },
}
LISTED: dict[str, Any] = {
    "apps": [ROW],
    "supervisor": {"version": "1.0", "draining": False, "keeper_silent_s": 0.0},
}


def all_samples() -> list[Sample]:
    """Return samples of a host and of a fleet."""
    rollout = Rollout(
        app="shop", number=4, release="shop-2", state=State.HELD, policy=Policy()
    )
    hosts = {"a": HostReport(host="a", phase=Phase.FAILED)}
    records = FleetRecords(rollout, hosts, {"0": "a x"})
    own = {"supervisor": ProcessUsage(1, 2.0)}
    found = [*host_samples.of_host(LISTED, 0.01, own)]
    return [*found, *rollout_samples.of_fleet("shop", records)]


def value(text: str, series: str) -> float:
    """Return one value of a scrape."""
    lines = [line for line in text.splitlines() if line.startswith(f"{series} ")]
    assert len(lines) == 1, (series, lines)
    return float(lines[0].split()[-1])


def test_every_value_belongs_to_a_family_with_its_labels() -> None:
    """And every family has a value when all is there: none is only promised."""
    found = all_samples()
    for each in found:
        assert len(each.labels) == len(FAMILIES[each.name].labels), each
    assert {each.name for each in found} == set(FAMILIES)


def test_no_series_is_told_twice() -> None:
    """Prometheus refuses a whole scrape for that."""
    keys = [(each.name, each.labels) for each in all_samples()]
    assert len(keys) == len(set(keys))


def test_a_list_becomes_values() -> None:
    """Phases, causes, outcomes and durations, in the text that promtool reads."""
    text = exposition.text(all_samples()).decode()
    shop = 'app="shop"'
    assert value(text, "gapless_up") == 1
    assert value(text, f'gapless_app_instances{{{shop},phase="draining"}}') == 1
    assert value(text, f'gapless_app_restarts_total{{{shop},cause="exit"}}') == 4
    assert value(text, f'gapless_app_restarts_total{{{shop},cause="liveness"}}') == 0
    series = "gapless_app_operation_seconds"
    of_reload = f'{{action="reload",{shop},outcome="done"}}'
    assert value(text, f"{series}_count{of_reload}") == 2
    assert value(text, f"{series}_sum{of_reload}") == 5.5
    assert value(text, f'gapless_app_cut_total{{{shop},kind="connections"}}') == 1
    assert value(text, f'gapless_rollout_state{{{shop},state="held"}}') == 1
    assert value(text, f'gapless_rollout_state{{{shop},state="done"}}') == 0


def test_a_dead_supervisor_is_a_value_too() -> None:
    """A scrape does not fail for it: what fails is told apart from what is down."""
    text = exposition.text(host_samples.of_host(None, 6.0, {})).decode()
    assert value(text, "gapless_up") == 0


def test_a_supervisor_of_before_is_scraped() -> None:
    """It has no phases and no totals yet."""
    old = {name: ROW[name] for name in ROW if name not in ("usage", "totals")}
    listed = LISTED | {"apps": [old]}
    text = exposition.text(host_samples.of_host(listed, 0.0, {})).decode()
    assert value(text, 'gapless_app_generation{app="shop"}') == 3


@pytest.mark.parametrize("name", [*sorted(set(ROW) - {"name"}), *LISTED["supervisor"]])
def test_a_list_without_a_field_is_scraped(name: str) -> None:
    """The rest of it is told."""
    row = {each: ROW[each] for each in ROW if each != name}
    known = LISTED["supervisor"]
    own = {each: known[each] for each in known if each != name}
    listed = {"apps": [row], "supervisor": own}
    text = exposition.text(host_samples.of_host(listed, 0.0, {})).decode()
    assert value(text, "gapless_up") == 1
    assert "gapless_app_status_info{" in text


def test_a_coordinator_that_does_not_answer_hides_no_host() -> None:
    """Its fleet is told as not known."""
    found = [*rollout_samples.of_fleet("shop", None)]
    assert found == [Sample("gapless_coordinator_up", ("shop",), 0.0)]


HOSTILE = ['a"b', "a\\b", "a\nb", "\x1b[2J", "\udc80", "{a=b}", "", "é" * 500, "\u202e"]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    "accept", [OPENMETRICS, "text/plain", "", "\x00;q=,", "a" * 9999]
)
def test_labels_are_escaped_and_bounded(text: str, accept: str) -> None:
    """Whatever a release is called, Prometheus reads the scrape."""
    samples = [sample("app_release_info", 1, "shop", text)]
    body, content_type = exposition.answer(samples, accept)
    read = (
        openmetrics.text_string_to_metric_families
        if "openmetrics" in content_type
        else text_string_to_metric_families
    )
    (family,) = read(body.decode())
    (found,) = family.samples
    assert set(found.labels) == {"app", "release"}
    assert found.labels["release"].isprintable()
    assert len(found.labels["release"]) <= 1600


def test_prometheus_gets_openmetrics() -> None:
    """The end of a scrape that was cut off is missed then."""
    body, content_type = exposition.answer(all_samples(), f"{OPENMETRICS},*/*;q=0.1")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    json.dumps(content_type)
