"""Whether code for PM2 has values that depend on its run."""

from __future__ import annotations

import pytest

from gapless.config.detect import code
from gapless.config.detect.facts import HEAD_BYTES, Facts


def facts(content: dict[str, str]) -> Facts:
    """Return a directory with these files."""
    return Facts(name="shop", files=frozenset(content), heads=content)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("cwd: __dirname // process.env.PORT", ""),
        ("/* require('os') */ cwd: require('path').join(__dirname, 'a')", ""),
        ("import path from 'node:path'; cwd: import.meta.dirname", ""),
        ("out_file: 'http://a//b', cmd: 'date'", ""),
        ("env: { PORT: process.env.PORT || 3000 }", "process.env.PORT"),
        ("instances: require('os').cpus().length", "require('os')"),
        ("import os from 'os'", "import os from 'os'"),
        ("env: { AT: new Date() }", "new Date"),
        ("export default await load()", "await"),
        # What begins a comment may stand in a text, and what ends it in another.
        (
            "watch: ['src/*'], env: { KEY: process.env.KEY }, ignore_watch: ['**/*.log']",
            "process.env.KEY",
        ),
        ("args: 'x //y', env: { KEY: process.env.KEY }", "process.env.KEY"),
        ("args: `${process.env.KEY} //`", "process.env.KEY"),
        ("const { env } = process; env: { KEY: env.KEY }", "process"),
        ("env: { KEY: globalThis['process'].env.KEY }", "globalThis"),
        ("name: 'process-orders', script: 'it\\'s // await.js'", ""),
        ("cwd: `${__dirname}/a`, name: 'process' // await", ""),
        ("cwd: `${__dirname}/a`, env: { KEY: process.env.KEY }", "process.env.KEY"),
        # What hides what follows, if it is taken for another thing than it is.
        ("name: 'a' /* it's process.env.KEY", "process.env.KEY"),
        (
            "const a = b.replace(/\\/*$/, ''); env: { KEY: process.env.KEY }",
            "process.env.KEY",
        ),
        ("a: x.replace(/'/g, ''), KEY: process.env.KEY || ''", "process.env.KEY"),
        ("a: `${f('`')} ${process.env.KEY} '`", "process.env.KEY"),
        ("<!-- /*\nenv: { KEY: process.env.KEY } // */", "process.env.KEY"),
        ("// a\u2028env: { KEY: process.env.KEY }", "process.env.KEY"),
        ("env: { KEY: proc\\u0065ss.env.KEY }", "\\u"),
        # Other ways to the same.
        ("env: { KEY: global['proc' + 'ess'].env.KEY }", "global"),
        ("const load = require; load('./secrets')", "require"),
        ("require('./secrets' + 'path')", "require('./secrets' + 'path')"),
        ("import './secrets'", "import './secrets'"),
        ("import {\n  env\n} from 'node:process'", "import {"),
        ("export { default } from './secrets'", "from './secrets'"),
        ("module.require('./secrets')", "module"),
        ("module.exports = { name: 'a' }", ""),
    ],
)
def test_values_that_depend_on_a_run_are_seen(content: str, expected: str) -> None:
    """Where the file is does not count: it says the same each time."""
    seen = facts({"ecosystem.config.js": content, "app.json": content})
    assert code.computed(seen, "ecosystem.config.js") == expected
    assert code.computed(seen, "app.json") == ""


def test_code_that_is_not_seen_to_its_end_may_do_anything() -> None:
    """So much of a file is read, and no more."""
    seen = facts({"ecosystem.config.js": f"name: 'a' // {'x' * HEAD_BYTES}"})
    assert "more than 64 KiB" in code.computed(seen, "ecosystem.config.js")
