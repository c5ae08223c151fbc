"""What a Node program has under PM2 beyond Node: its channel, and rejections survived."""

from __future__ import annotations

import json

from rig.hosts.host import Host
from rig.wait import until

MEASURES = """
const action = { action_name: 'add', arity: 2, action_type: 'custom' };
process.send({ type: 'axm:action', data: action });
process.send({ type: 'axm:monitor', data: {
  users: { value: 41, unit: 'people', type: 'app' } } });
process.on('message', (message) => {
  if (message.msg !== 'add') return;
  const data = { action_name: 'add', return: { sum: Number(message.opts) + 1 } };
  process.send({ type: 'axm:reply', data });
  process.send({ type: 'axm:monitor', data: { users: { value: 42, unit: 'people' } } });
  Promise.reject(new Error('forgotten'));
  Promise.reject(new Error('again'));
});
setInterval(() => {}, 1000);
"""
EXPLAINED = "This is said once."


def test_metrics_actions_and_rejections(host: Host) -> None:
    """A program that was written under PM2 goes on, and is seen and asked as there."""
    (host.directory / "app.js").write_text(MEASURES)
    host.ok("pm2", "start", "app.js", "--min-uptime", "100")

    def described() -> str:
        return host.ok("describe", "app")

    until(lambda: "41 people" in described(), "the metric is shown")
    assert "for `gapless pm2 trigger`: add" in described()
    said = host.ok("pm2", "trigger", "0", "add", "6")
    assert said == 'add: sent to 0\n[app:0] {"sum": 7}\n'
    (item,) = json.loads(host.ok("jlist"))
    assert item["pm2_env"]["axm_monitor"]["users"]["value"] == 42
    assert item["pm2_env"]["axm_actions"] == [{"action_name": "add", "arity": 2}]
    log = host.home / "logs" / "app-error.log"
    until(lambda: "Error: again" in log.read_text(), "both rejections are logged")
    assert log.read_text().count(EXPLAINED) == 1
    assert item["pm2_env"]["status"] == "online"
    assert item["pm2_env"]["restart_time"] == 0
    none = host.gapless("pm2", "trigger", "app", "sub")
    assert (none.returncode, "it offers add" in none.stderr) == (1, True)
