'use strict';
// The calls, with a supervisor of their own; GAPLESS_COMMAND is the one of this checkout.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { promisify } = require('node:util');

const CHECKOUT = path.join(__dirname, '../../..');
const APP = `
console.log('hello');
process.on('message', (message) => process.send({ type: 'process:msg', data: { got: message } }));
process.on('SIGUSR2', () => console.log('a signal', '\\u00e9'));
setInterval(() => {}, 1000);
`;

/** Wait until *fact* holds; fail with *what* after twenty seconds. */
async function until(fact, what) {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const found = await fact();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`not within 20 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('tools that were written for PM2 go on', async (context) => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'gapless-pm2-'));
  process.env.GAPLESS_COMMAND ||= path.join(CHECKOUT, '.venv/bin/gapless');
  process.env.PM2_HOME = path.join(directory, 'home');
  const script = path.join(directory, 'app.js');
  fs.writeFileSync(script, APP);
  const pm2 = require('../src/index.js');
  context.after(() => {
    pm2.disconnect(() => {});
    spawnSync(process.env.GAPLESS_COMMAND, ['pm2', 'kill']);
    fs.rmSync(directory, { recursive: true, force: true });
  });
  // With callbacks, as tools call it.
  const calls = Object.fromEntries(
    Object.entries(pm2).map(([name, each]) => [name, promisify(each)]),
  );

  const connected = await calls.connect();
  assert.equal(connected.new_pm2_instance, true);
  assert.equal(connected.pm2_home, process.env.PM2_HOME);
  const bus = await calls.launchBus();
  const events = [];
  bus.on('*', (name, content) => events.push({ name, ...content }));
  const kinds = [];
  bus.on('log:*', (kind) => kinds.push(kind));
  const seen = (name, holds) => events.find((each) => each.name === name && holds(each));

  const gapless = { min_healthy_s: 0 };
  const options = { script, name: 'app', env: { Q: '1' }, min_uptime: 100, gapless };
  const [started] = await calls.start(options);
  assert.equal(started.pm2_env.status, 'online');
  assert.equal(started.pm2_env.Q, '1');
  assert.ok(started.monit.memory > 0);
  assert.deepEqual([started.name, started.pm_id], ['app', 0]);
  await assert.rejects(calls.start(script), { message: 'Script already launched' });
  await assert.rejects(calls.stop('none'), { message: 'process or namespace not found' });
  assert.deepEqual(await calls.describe('none'), []);
  assert.match(await calls.getVersion(), /^\d+\.\d+/);
  assert.deepEqual(await pm2.getPID('app'), [started.pid], 'a promise, without a callback');
  const online = (each) => each.event === 'online' && each.process.pm_id === 0;
  await until(() => seen('process:event', online), 'online is told');
  assert.equal(seen('process:event', online).process.env, undefined);

  const packet = { type: 'process:msg', topic: true, data: { x: [1] } };
  const sent = await calls.sendDataToProcessId(0, packet);
  assert.deepEqual(sent, { success: true, data: { ...packet, id: 0 } });
  const answer = await until(() => seen('process:msg', () => true), 'the answer');
  assert.deepEqual(answer.data.got, { ...packet, id: 0 });
  assert.deepEqual([answer.process.name, answer.process.pm_id], ['app', 0]);
  await assert.rejects(calls.sendDataToProcessId(99, packet), /ID <99> unknown/);
  await assert.rejects(calls.sendDataToProcessId(0, { data: 1 }), /TOPIC field is missing/);
  await calls.sendSignalToProcessId('SIGUSR2', 0);
  const log = await until(() => seen('log:out', (each) => /signal/.test(each.data)), 'the log');
  assert.equal(log.data, 'a signal \u00e9\n');
  assert.ok(kinds.includes('out'));

  const [restarted] = await calls.restart(0);
  assert.notEqual(restarted.pid, started.pid);
  assert.equal(restarted.pm2_env.restart_time, 1);
  for (const event of ['exit', 'restart']) {
    await until(() => seen('process:event', (each) => each.event === event), event);
  }
  const [stopped] = await calls.stop('app');
  assert.deepEqual([stopped.pid, stopped.pm2_env.status], [0, 'stopped']);
  const [deleted] = await calls.delete('all');
  assert.equal(deleted.name, 'app');
  assert.deepEqual(await calls.list(), []);
  await assert.rejects(calls.start({ script: 'not-there.js' }), /not-there\.js/);
  const crashes = path.join(directory, 'crashes.js');
  fs.writeFileSync(crashes, "throw new Error('a fault')");
  // Long enough for a busy machine: a crash after that time is none of a start.
  const once = { script: crashes, autorestart: false, min_uptime: 60000 };
  await assert.rejects(calls.start(once), /exited with code 1/);
  assert.equal(new pm2.custom().list, pm2.list);
  assert.throws(() => new pm2.custom({ pm2_home: '/elsewhere' }), /set PM2_HOME/);
  assert.deepEqual(await calls.killDaemon(), { success: true });
  assert.equal((await import('../src/index.mjs')).delete, pm2.delete);
});
