"""Alert rules, dashboard and page name metrics that there are, and their labels."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import gapless
from gapless.base.errors import DONE, NotFoundError
from gapless.cli.verbs.inspect import metrics
from gapless.metrics.families import FAMILIES, TOPICS
from rig.hosts.host import ROOT

SHIPPED = Path(gapless.__file__).parent / "metrics" / "shipped"
SERIES = {name: each for each in FAMILIES.values() for name in each.series}
OF_EVERY_TARGET = {"instance", "job"}
NAME = re.compile(r"\bgapless_[a-z_]+")
SELECTED = re.compile(r"(gapless_[a-z_]+)\{([^}]*)\}")
LABEL = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"")
GROUPED = re.compile(r"\b(?:by|on) \(([^)]*)\)")


def rules() -> list[dict[str, Any]]:
    """Return the alert rules."""
    plain = YAML(typ="safe").load((SHIPPED / "alerts.yml").read_text())
    return [rule for group in plain["groups"] for rule in group["rules"]]


def expressions_of(value: Any) -> list[str]:
    """Return every query in a dashboard, at any depth."""
    if isinstance(value, list):
        return [each for item in value for each in expressions_of(item)]
    if not isinstance(value, dict):
        return []
    own = [value[key] for key in ("expr", "definition") if key in value]
    return own + [each for item in value.values() for each in expressions_of(item)]


DASHBOARD = json.loads((SHIPPED / "dashboard.json").read_text())
EXPRESSIONS = [rule["expr"] for rule in rules()] + expressions_of(DASHBOARD)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_is_asked_for_is_told(expression: str) -> None:
    """Each name is exported, each label is one that it has."""
    names = NAME.findall(expression)
    assert names
    assert set(names) <= set(SERIES)
    for name, matchers in SELECTED.findall(expression):
        known = {*SERIES[name].labels, *OF_EVERY_TARGET}
        assert set(LABEL.findall(matchers)) <= known
    labels = {label for name in names for label in SERIES[name].labels}
    for group in GROUPED.findall(expression):
        assert set(re.split(r",\s*", group)) <= labels | OF_EVERY_TARGET


def test_the_dashboard_shows_every_topic() -> None:
    """Dashboard and rules ask for something of each."""
    asked = {name for each in EXPRESSIONS for name in NAME.findall(each)}
    for title, families in TOPICS.items():
        assert asked & {name for each in families for name in each.series}, title


def test_every_panel_has_a_place_and_an_identity_of_its_own() -> None:
    """Grafana would show one over the other."""
    panels = DASHBOARD["panels"]
    assert len({each["id"] for each in panels}) == len(panels)
    places = [each["gridPos"] for each in panels]
    cells = [
        (x, y)
        for at in places
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert all(at["x"] + at["w"] <= 24 for at in places)


def test_every_alert_says_what_to_do() -> None:
    """A summary, and a command or a fact."""
    for rule in rules():
        notes = rule["annotations"]
        assert notes["summary"]
        assert notes["description"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info")


def test_the_page_has_every_metric() -> None:
    """docs/metrics.md is the table of `families.py`."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    for title, families in TOPICS.items():
        lines = [f"### {title}", "", "| metric | kind | labels | what it says |"]
        lines.append("|---|---|---|---|")
        lines += [
            f"| `{each.name}` | {each.kind} | {', '.join(each.labels)} | {each.text} |"
            for each in families
        ]
        assert "\n".join(lines) in page, title


@pytest.mark.parametrize(
    ("option", "name"), [("--alerts", "alerts.yml"), ("--dashboard", "dashboard.json")]
)
def test_what_is_shipped_is_printed(
    option: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where prometheus-client is not installed."""
    assert metrics.run(parsed(option)) == DONE
    assert capsys.readouterr().out == (SHIPPED / name).read_text()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to type."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(NotFoundError, match="prometheus-client") as found:
        metrics.run(parsed())
    assert "pip install 'gapless[metrics]'" in found.value.hint


def parsed(*words: str) -> Any:
    """Return the arguments of the verb."""
    import argparse

    parser = argparse.ArgumentParser()
    metrics.add_arguments(parser)
    return parser.parse_args(words)
