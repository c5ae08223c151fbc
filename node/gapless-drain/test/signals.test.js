'use strict';
const assert = require('node:assert/strict');
const { fork, spawn } = require('node:child_process');
const { once } = require('node:events');
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
  if (pm2) env.pm_id = '0';
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

// --- other listeners ------------------------------------------------------------------

const LIBRARY = require.resolve('../src/index.js');

/** Run an app that has a drain as `drain`; `lines` are what it printed. */
function running(context, text, { isForked = false, pm2 = false } = {}) {
  const app = `const { Drain } = require(${JSON.stringify(LIBRARY)});
    const drain = new Drain({ environment: {}, drainTimeoutS: 5 });
    ${text}`;
  const env = { ...process.env, GAPLESS_INSTANCE: '' };
  delete env.NODE_CHANNEL_FD;
  if (pm2) env.pm_id = '0';
  const stdio = ['ignore', 'pipe', 'inherit', ...(isForked ? ['ipc'] : [])];
  const child = spawn(process.execPath, ['-e', app], { env, stdio });
  context.after(() => child.kill('SIGKILL'));
  const it = { child, lines: [], messages: [] };
  // Not its 'close': that does not come once the parent has disconnected.
  it.ended = Promise.all([once(child, 'exit'), once(child.stdout, 'close')]).then(
    ([[code, signal]]) => ({ code, signal }),
  );
  child.stdout.on('data', (piece) => it.lines.push(...String(piece).trim().split('\n')));
  child.on('message', (message) => it.messages.push(message));
  return it;
}

// As signal-exit: it acts only if its listeners are the only ones, and ends by the signal.
const LIKE_SIGNAL_EXIT = `
  const onSignal = () => {
    if (process.listeners('SIGTERM').length !== 1) return;
    process.removeListener('SIGTERM', onSignal);
    console.log('cleaned up');
    process.kill(process.pid, 'SIGTERM');
  };
  process.on('SIGTERM', onSignal);`;
const WORKS = `
  setInterval(() => {}, 1000);
  drain.procedure('work', () => new Promise((resolve) => setTimeout(resolve, 300)))
    .then(() => console.log('worked'));
  console.log('begun');`;

test('who ends the process only when alone is asked again after the drain', async (context) => {
  const it = running(context, LIKE_SIGNAL_EXIT + WORKS);
  await until(() => it.lines.includes('begun'), 'the work');
  it.child.kill('SIGTERM');
  assert.deepEqual(await it.ended, { code: null, signal: 'SIGTERM' });
  assert.deepEqual(it.lines, ['begun', 'worked', 'cleaned up']);
});

test('with nothing under way, or by a second signal, it ends at once', async (context) => {
  const idle = running(context, `${LIKE_SIGNAL_EXIT} setInterval(() => console.log('idle'), 50);`);
  await until(() => idle.lines.includes('idle'), 'the app');
  idle.child.kill('SIGTERM');
  assert.deepEqual(await idle.ended, { code: null, signal: 'SIGTERM' });
  assert.equal(idle.lines.at(-1), 'cleaned up');
  const busy = running(context, `${LIKE_SIGNAL_EXIT}${WORKS.replace('300', '30000')}
    setInterval(() => console.log(drain.mode), 20);`);
  await until(() => busy.lines.includes('begun'), 'the work');
  busy.child.kill('SIGTERM');
  await until(() => busy.lines.includes('recycle'), 'the drain');
  busy.child.kill('SIGTERM');
  assert.deepEqual(await busy.ended, { code: null, signal: 'SIGTERM' });
  assert.equal(busy.lines.at(-1), 'cleaned up');
});

for (const word of ['on', 'once']) {
  test(`an app that takes the signal by itself gets it one time: ${word}`, async (context) => {
    const own = `process.${word}('SIGTERM', () => {
      console.log('mine');
      setTimeout(() => process.exit(7), 800);
    });`;
    const it = running(context, LIKE_SIGNAL_EXIT + own + WORKS);
    await until(() => it.lines.includes('begun'), 'the work');
    it.child.kill('SIGTERM');
    assert.deepEqual(await it.ended, { code: 7, signal: null });
    assert.deepEqual(it.lines, ['begun', 'mine', 'worked']);
  });
}

// --- messages -------------------------------------------------------------------------

for (const pm2 of [false, true]) {
  const where = pm2 ? 'under PM2' : 'without PM2';
  const asked = { isForked: true, pm2 };

  test(`${where} a forked process that listens for messages goes on`, async (context) => {
    for (const text of ['', "process.on('message', () => {}).removeAllListeners('message');"]) {
      const it = running(
        context,
        `${text} process.on('message', (message) => process.send(message)); process.send('here');`,
        asked,
      );
      await until(() => it.messages.includes('here'), 'the first message');
      await new Promise((resolve) => setTimeout(resolve, 100)); // nothing else keeps it alive
      it.child.send('hello');
      await until(() => it.messages.includes('hello'), 'the answer');
      it.child.disconnect();
      assert.deepEqual(await it.ended, { code: 0, signal: null });
    }
  });

  test(`${where} a forked process that listens for none ends by itself`, async (context) => {
    for (const text of ['', "process.on('message', () => {}).removeAllListeners('message')"]) {
      assert.deepEqual(await running(context, text, asked).ended, { code: 0, signal: null });
    }
  });

  test(`${where} messages that come early are kept for the app`, async (context) => {
    const it = running(
      context,
      `process.send('here');
      setTimeout(() => process.on('message', (message) => process.send(message)), 200);`,
      asked,
    );
    for (const message of ['first', 'second']) it.child.send(message);
    await until(() => it.messages.includes('second'), 'the messages');
    assert.deepEqual(it.messages, ['here', 'first', 'second']);
    it.child.disconnect();
    await it.ended;
  });
}

test('to be ready is no error once the parent has gone', async (context) => {
  const it = running(
    context,
    `process.once('disconnect', () => {
      drain.ready();
      setTimeout(() => console.log('alive'), 20);
    });
    process.send('here');`,
    { isForked: true },
  );
  await until(() => it.messages.includes('here'), 'the app');
  it.child.disconnect();
  assert.deepEqual(await it.ended, { code: 0, signal: null });
  assert.deepEqual(it.lines, ['alive']);
});

test('the package can be imported as well', async () => {
  const { Drain, Draining } = await import('../src/index.mjs');
  assert.equal(typeof Drain, 'function');
  assert.equal(new Draining('x').name, 'Draining');
});
