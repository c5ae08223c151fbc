"""The same tool with `require('pm2')` and with gapless-pm2: it is told the same."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rig.hosts.host import GAPLESS, ROOT

LIBRARIES = {
    "pm2": ROOT / "node" / "gapless-drain" / "node_modules" / "pm2",
    "gapless": ROOT / "node" / "gapless-pm2",
}
APP = """
console.log('hello');
process.on('message', (got) => process.send({ type: 'process:msg', data: { got } }));
setInterval(() => {}, 1000);
"""
TOOL = """
const pm2 = require(process.env.LIBRARY);
const told = [];
const shown = (found) => Array.isArray(found)
  ? found.map((each) => [each.pm2_env.name, each.pm2_env.pm_id, each.pm2_env.status])
  : found;
const call = (name, ...rest) => new Promise((resolve) => {
  pm2[name](...rest, (error, found) => {
    told.push([name, error ? error.message || 'an error' : shown(found)]);
    resolve(found);
  });
});
const seen = new Set();
const wait = async (what) => {
  for (let round = 0; round < 100 && !seen.has(what); round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  told.push([what, seen.has(what)]);
};
(async () => {
  await new Promise((resolve) => pm2.connect(resolve));
  const bus = await new Promise((resolve) => pm2.launchBus((_, found) => resolve(found)));
  bus.on('process:event', (found) => seen.add(`${found.process.name} ${found.event}`));
  bus.on('log:*', (kind, found) => seen.add(`${found.process.name} ${kind} ${found.data}`));
  bus.on('process:msg', ({ process: from, data }) => seen.add(
    `${from.pm_id} ${from.name} ${from.namespace} ${JSON.stringify(data.got.data)}`));
  const app = { script: 'app.js', min_uptime: 100, kill_timeout: 300 };
  await call('start', { ...app, name: 'one' });
  await wait('one online');
  await wait('one out hello\\n');
  const packet = { type: 'process:msg', topic: true, data: { x: 1 } };
  await call('sendDataToProcessId', 0, packet);
  await wait('0 one default {"x":1}');
  await call('start', { apps: [{ ...app, name: 'two', instances: 2, namespace: 'web' }] });
  await call('describe', 'one');
  await call('describe', 2);
  await call('describe', 'none');
  await call('restart', 'one');
  await wait('one exit');
  await wait('one restart');
  await call('restart', 'none');
  await call('start', 'app.js', { name: 'one' });
  await call('stop', 'web');
  await call('reset', 'one');
  await call('dump');
  await call('scale', 'one', 2);
  await call('list');
  await call('sendDataToProcessId', 77, packet);
  await call('delete', 'one');
  await call('delete', 'none');
  await call('killDaemon');
  pm2.disconnect(() => {});
  require('node:fs').writeFileSync('told.json', JSON.stringify(told));
  setTimeout(() => process.exit(0), 100);
})();
"""


def told(name: str, directory: Path) -> list[Any]:
    """Return what the tool is told, with one of the libraries."""
    directory.mkdir()
    (directory / "app.js").write_text(APP)
    (directory / "tool.js").write_text(TOOL)
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("GAPLESS", "PM2"))
    } | {
        "PM2_HOME": str(directory / "home"),
        "GAPLESS_COMMAND": str(GAPLESS),
        "LIBRARY": str(LIBRARIES[name]),
    }
    try:
        subprocess.run(
            ["node", "tool.js"], cwd=directory, env=environment, timeout=150, check=True
        )
    finally:
        kill = [str(LIBRARIES["pm2"] / "bin" / "pm2"), "kill"]
        if name == "gapless":
            kill = [str(GAPLESS), "pm2", "kill"]
        subprocess.run(kill, env=environment, capture_output=True, check=False)
    found: list[Any] = json.loads((directory / "told.json").read_text())
    return found


@pytest.mark.soak
def test_a_tool_is_told_the_same(tmp_path: Path) -> None:
    """Results, errors and events of each call, in order."""
    assert told("gapless", tmp_path / "gapless") == told("pm2", tmp_path / "pm2")
