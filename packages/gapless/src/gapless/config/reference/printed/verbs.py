"""The JSON Schema of what each verb prints with --json."""

from __future__ import annotations

from typing import Any

import msgspec

from gapless.config.reference.json_schema import DIALECT
from gapless.config.reference.printed import (
    apps,
    fleets,
    machine,
    rehearsals,
    reports,
)
from gapless.config.toml import key_words

_OF_ONE_APP = (reports.Report, reports.Registered)
_REPORTS = (*_OF_ONE_APP, list[reports.Report])
"""One report if the command was about one app, else a list."""
_ROLLOUTS = (reports.Report, fleets.Rollout)
PRINTED: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(
        ("start", "restart", "scale", "stop", "delete", "serve", "resurrect"), _REPORTS
    ),
    "reload": (*_REPORTS, dict[str, list[machine.Change]]),
    "list": (apps.Listed,),
    "describe": (apps.Described,),
    "procedures": (list[apps.RunningProcedures],),
    "logs": (apps.LogLine,),
    "env": (dict[str, str],),
    "pid": (dict[str, list[int]],),
    "signal": (dict[str, int],),
    "flush": (apps.Emptied,),
    "reset": (apps.Reset,),
    "publish": _ROLLOUTS,
    "rollback": _ROLLOUTS,
    "watch": _ROLLOUTS,
    "rehearse": (rehearsals.Rehearsed,),
    "releases": (list[fleets.Release],),
    "push": (fleets.Pushed,),
    "rollout": (
        fleets.Rollout,
        fleets.NoRollout,
        fleets.Host,
        list[dict[str, Any]],
        dict[str, Any],
    ),
    "drain": (apps.Drained,),
    "undrain": (apps.Listed,),
    "balancer": (machine.BalancerChecked,),
    "check": (machine.Checked,),
    "doctor": (list[machine.Support],),
    "upgrade": (machine.Upgraded,),
    "shutdown": (machine.ShutDown,),
    "save": (machine.Saved,),
    "jlist": (list[apps.Pm2Item],),
}
"""What each verb may print.

`logs`, `watch` and `rollout --watch` print one value a line.
"""


def of_verb(verb: str) -> dict[str, Any]:
    """Return the schema of what a verb prints with --json."""
    found, components = msgspec.json.schema_components(
        [*PRINTED[verb], reports.Failure], ref_template="#/$defs/{name}"
    )
    for kinds in (apps, fleets, machine, rehearsals, reports):
        for name, schema in vars(kinds).items():
            if name in components and key_words.is_table(schema):
                _describe(components[name], schema)
    *kinds_of_value, failure = found
    if PRINTED[verb][: len(_REPORTS)] == _REPORTS:
        # A list has what became of each app.
        one = [*kinds_of_value[: len(_OF_ONE_APP)], failure]
        kinds_of_value[len(_OF_ONE_APP)] = {"type": "array", "items": {"anyOf": one}}
    return {
        "$schema": DIALECT,
        "title": f"gapless {verb} --json",
        "anyOf": [*kinds_of_value, failure],
        "$defs": components,
    }


def _describe(component: dict[str, Any], schema: type[Any]) -> None:
    said: dict[str, tuple[str, str]] = {}
    for each in reversed(schema.__mro__):
        if key_words.is_table(each) and each is not msgspec.Struct:
            said |= key_words.descriptions(each)
    for key, (text, _) in said.items():
        # What stands beside a reference counts in 2020-12.
        component["properties"][key]["description"] = text
