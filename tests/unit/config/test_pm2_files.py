"""Files of declarations for PM2: every shape and every mistake."""

from __future__ import annotations

from typing import Any

import pytest

from gapless.base.errors import MisuseError, NotFoundError
from rig.fixtures.project import Project

APP = {"name": "a", "script": "index.js"}


@pytest.mark.parametrize(
    "shape", [{"apps": [APP]}, {"pm2": [APP]}, {"apps": APP}, [APP], APP]
)
def test_every_shape_of_a_file_is_read(project: Project, shape: Any) -> None:
    """A file holds an object or a list, or either under `apps` or `pm2`."""
    assert list(project.load(shape)) == ["a"]


def test_json_with_comments(project: Project) -> None:
    """Comments, trailing commas, unquoted keys and single quotes are accepted."""
    text = "{ // a comment\n apps: [{name: 'a', /* b */ script: 'index.js',},],\n}"
    assert list(project.load(text)) == ["a"]


@pytest.mark.parametrize("name", ["eco.yaml", "eco.yml"])
def test_yaml(project: Project, name: str) -> None:
    """YAML is version 1.2, in which `yes` is a text."""
    text = "apps:\n  - name: a\n    script: index.js\n    env:\n      ON: yes\n"
    assert project.read(name, text)["a"].environment["ON"] == "yes"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("eco.config.js", "module.exports = {apps: [APP]}"),
        ("eco.config.cjs", "module.exports = [APP]"),
        ("eco.config.mjs", "export default APP"),
        ("eco.config.mjs", "export const apps = [APP]"),
    ],
)
def test_javascript_is_read_by_node(project: Project, name: str, text: str) -> None:
    """CommonJS and ES modules are read; what they print is not part of the result."""
    head = "console.log('hello');\nconst APP = {name: 'a', script: 'index.js'};\n"
    assert list(project.read(name, head + text)) == ["a"]


def test_several_apps_and_some_of_them(project: Project) -> None:
    """--only selects apps by label; an unknown label is an error."""
    apps = {"apps": [APP, {"name": "b", "script": "job.py"}]}
    assert list(project.load(apps, only=("b",))) == ["b"]
    with pytest.raises(NotFoundError, match="declares no app named 'c'"):
        project.load(apps, only=("c",))


def test_apps_of_one_name_get_numbers(project: Project) -> None:
    """Names are unique here; PM2's own is kept beside, and it is said."""
    second = {"script": "index.js", "name": "a-2"}
    found = project.load([APP, APP, second, {"script": "job.py"}, {"script": "job.py"}])
    assert {name: each.alias for name, each in found.items()} == {
        "a": "",
        "a-3": "a",
        "a-2": "",
        "job": "",
        "job-2": "job",
    }
    assert [each.label for each in found.values()][1::3] == ["a-3", "job.py-2"]
    assert [w.rpartition(" ")[2] for w in project.warnings] == ["a-3", "job.py-2"]
    assert list(project.load([APP, APP], only=("a-2",))) == ["a-2"]


def test_an_option_that_is_null_takes_the_fields_value_away(project: Project) -> None:
    """As PM2's `--node-args=null`."""
    declared = APP | {"node_args": "--expose-gc"}
    found = project.load(declared, overrides={"node_args": None})["a"]
    assert found.command == ("node", "index.js")


def test_options_take_precedence_over_the_file(project: Project) -> None:
    """Options of the command are also kept for the next reload."""
    found = project.load(APP, overrides={"instances": "2", "kill_timeout": "100"})
    assert (found["a"].instances, found["a"].stop.kill_timeout_s) == (2, 0.1)
    assert dict(found["a"].arguments) == {"instances": '"2"', "kill_timeout": '"100"'}


# --- mistakes -----------------------------------------------------------------------

WRONG = [
    ("kill_timeout", "5s", '"5s" is not a number of milliseconds, like 5000'),
    ("kill_timeout", -1, "-1 is not a number of milliseconds"),
    ("kill_timeout", 1.5, "1.5 is not a number of milliseconds"),
    ("wait_ready", "true", '"true" is not true or false'),
    ("autorestart", 1, "1 is not true or false"),
    ("instances", "many", '"many" is not a number of instances'),
    ("instances", 5000, "more than 1024"),
    ("min_uptime", 50, "50 is not milliseconds from 100 on"),
    ("min_uptime", "1h30m", '"1h30m" is not milliseconds from 100 on'),
    ("max_memory_restart", "1T", '"1T" is not a number of bytes'),
    ("max_memory_restart", "100MB", '"100MB" is not a number of bytes'),
    ("exec_mode", "threads", '"threads" is not "fork" or "cluster"'),
    ("env", ["A=1"], '["A=1"] is not an object of variables'),
    ("env_production", "x", '"x" is not an object of variables'),
    ("stop_exit_codes", ["x"], '["x"] is not an exit code'),
    ("cron_restart", "* * *", "it has 3 fields; write five"),
    ("cron_restart", "61 * * * *", "minute '61': write 0-59"),
    ("listen_timeout", 0, "0 leaves no time to become ready"),
    ("log_type", "xml", '"xml" is not "json"'),
    ("args", {"a": 1}, "is not a text, or a list of words"),
    ("args", "'open", "is not a text, or a list of words"),
    ("watch", 5, "5 is not true, false, a path"),
    ("name", "a/b", "'a/b' cannot name an app"),
    ("name", 5, "5 is not text"),
    ("max_restarts", "lots", '"lots" is not a whole number'),
]


@pytest.mark.parametrize(("field", "declared", "said"), WRONG)
def test_a_mistake_names_file_app_field_value_and_what_is_right(
    project: Project, field: str, declared: Any, said: str
) -> None:
    """The message has the file, the app, the field, the value and what may be written."""
    message = project.complaint(**{field: declared})
    label = "shop" if field != "name" else str(declared)
    assert message.startswith(f"app.json: {label}: {field}: ")
    assert said in message


def test_all_mistakes_are_reported_at_once(project: Project) -> None:
    """One error names every mistake of a file."""
    message = project.complaint(kill_timeout="5s", wait_ready="yes", instances="x")
    assert len(message.splitlines()) == 3


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ([{"name": "a"}], "a: script: it is missing"),
        ([], "it declares no app"),
        (["x"], "app 1 is not an object"),
        ("{", "neither JSON nor JSON with comments"),
        ({"script": "index.js", "exec": "job.py"}, "say different things"),
    ],
)
def test_a_file_that_cannot_be(project: Project, declared: Any, said: str) -> None:
    """A file without usable apps is refused with the reason."""
    with pytest.raises(MisuseError, match=said):
        project.load(declared)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.config.js", "throw new Error('boom')", "boom"),
        ("a.config.js", "module.exports = {", "Unexpected end of input|SyntaxError"),
        ("a.yaml", "a: [", "this is not YAML"),
    ],
)
def test_a_file_that_cannot_be_read(
    project: Project, name: str, text: str, said: str
) -> None:
    """The message holds the reason of the parser."""
    with pytest.raises(MisuseError, match=said):
        project.read(name, text)


def test_what_has_no_effect_is_warned_of_with_the_reason(project: Project) -> None:
    """A value that turns off a missing feature gives no warning."""
    project.one(vizion=False, pmx=False, source_map_support=True)
    assert not project.warnings
    project.one(name="shop", kill_retry_time=50, instanses=4)
    assert project.warnings == (
        "app.json: shop: kill_retry_time: it has no effect: "
        "gapless notices the end of a process at once",
        "app.json: shop: instanses: there is no such field, it is ignored; "
        "did you mean instances?",
    )


def test_a_mistake_on_the_command_line_names_its_option(project: Project) -> None:
    """The message has the option as it is typed, and what may be written."""
    with pytest.raises(MisuseError, match=r"--kill-timeout: .5s. is not a number"):
        project.load(APP, overrides={"kill_timeout": "5s"})
