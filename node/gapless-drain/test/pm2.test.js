'use strict';
// With PM2 itself: it sends SIGINT, waits for `ready`, and reloads a cluster.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { ask, until } = require('./rig.js');

const PM2 = require.resolve('pm2/bin/pm2');

function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

test('PM2: a reload and a stop finish what was begun', async (context) => {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'pm2-'));
  const ledger = path.join(home, 'ledger');
  fs.writeFileSync(ledger, '');
  const port = await freePort();
  const env = { ...process.env, PM2_HOME: home, LEDGER: ledger, PORT: String(port) };
  const pm2 = (...args) =>
    new Promise((resolve, reject) => {
      execFile(process.execPath, [PM2, ...args], { env }, (error, stdout, stderr) =>
        error ? reject(new Error(stdout + stderr)) : resolve(stdout),
      );
    });
  context.after(async () => {
    await pm2('kill');
    fs.rmSync(home, { recursive: true, force: true });
  });
  const count = (word) => fs.readFileSync(ledger, 'utf8').split(word).length - 1;
  const app = path.join(__dirname, 'app.js');
  const waits = ['--wait-ready', '--listen-timeout', '20000', '--kill-timeout', '20000'];
  await pm2('start', app, '--name', 'app', '-i', '2', ...waits);
  await until(async () => (await ask(port).catch(() => null))?.status === 200, 'an answer');
  const asked = ask(port, { path: '/procedure' });
  await until(() => count('begin') === 1, 'the procedure to begin');
  await pm2('reload', 'app');
  assert.equal((await asked).body, 'closed');
  assert.equal(count('end'), 1);
  const again = ask(port, { path: '/procedure' });
  await until(() => count('begin') === 2, 'another one');
  await pm2('stop', 'app');
  assert.equal((await again).body, 'closed');
  assert.equal(count('end'), 2);
});
