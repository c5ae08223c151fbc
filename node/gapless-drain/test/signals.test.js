'use strict';
const assert = require('node:assert/strict');
const { fork, spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { ask, until } = require('./rig.js');

const APP = path.join(__dirname, 'app.js');

async function started(context, { pm2 = false } = {}) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'drain-'));
  const ledger = path.join(directory, 'ledger');
  fs.writeFileSync(ledger, '');
  const env = { ...process.env, LEDGER: ledger, GAPLESS_SOCKET: '' };
  delete env.NODE_CHANNEL_FD;
  const child = pm2
    ? fork(APP, { env, silent: true })
    : spawn(process.execPath, [APP], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  context.after(() => {
    child.kill('SIGKILL');
    fs.rmSync(directory, { recursive: true, force: true });
  });
  const ended = new Promise((resolve) =>
    child.on('exit', (code, signal) => resolve({ code, signal })),
  );
  const messages = [];
  child.on('message', (message) => messages.push(message));
  const port = Number(
    await new Promise((resolve) => child.stdout.once('data', (line) => resolve(line))),
  );
  const lines = () => fs.readFileSync(ledger, 'utf8');
  return { child, ended, lines, messages, port };
}

test('an idle process ends by the signal at once', async (context) => {
  const { child, ended } = await started(context);
  child.kill('SIGTERM');
  assert.deepEqual(await ended, { code: null, signal: 'SIGTERM' });
});

for (const how of ['SIGTERM', 'SIGINT', 'shutdown']) {
  test(`${how}: refuses, finishes, ends`, async (context) => {
    const it = await started(context, { pm2: how === 'shutdown' });
    const asked = ask(it.port, { path: '/procedure' });
    await until(() => it.lines().includes('begin'), 'the procedure to begin');
    if (how === 'shutdown') it.child.send('shutdown');
    else it.child.kill(how);
    await until(async () => (await ask(it.port)).status === 503, 'the 503');
    assert.ok(!it.lines().includes('end'));
    assert.equal((await asked).body, 'closed');
    const { code, signal } = await it.ended;
    assert.deepEqual([code, signal], how === 'shutdown' ? [0, null] : [null, how]);
    if (how === 'shutdown') assert.deepEqual(it.messages, ['ready']);
  });
}

test('a second signal ends the process at once', async (context) => {
  const it = await started(context);
  const asked = ask(it.port, { path: '/procedure' }).catch((error) => error);
  await until(() => it.lines().includes('begin'), 'the procedure to begin');
  it.child.kill('SIGTERM');
  await until(async () => (await ask(it.port)).status === 503, 'the 503');
  it.child.kill('SIGTERM');
  assert.deepEqual(await it.ended, { code: null, signal: 'SIGTERM' });
  assert.ok((await asked) instanceof Error);
  assert.ok(!it.lines().includes('end'));
});

test('the package can be imported as well', async () => {
  const { Drain, Draining } = await import('../src/index.mjs');
  assert.equal(typeof Drain, 'function');
  assert.equal(new Draining('x').name, 'Draining');
});
