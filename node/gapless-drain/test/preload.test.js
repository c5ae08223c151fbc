'use strict';
// Programs that use no library, with `--require preload.js` before them: real processes,
// real runners.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { FakeSupervisor, ask, until } = require('./rig.js');

const PRELOAD = require.resolve('../src/preload.js');
const LIBRARY = require.resolve('../src/index.js');
const BIN = path.join(__dirname, '../node_modules/.bin');
const CHANNEL = 100;

const PLAIN = `
const http = require('node:http');
http.createServer((request, response) => {
  if (request.url === '/slow') {
    console.log('slow');
    process.once('SIGUSR2', () => response.end('slow'));
  } else response.end('hello');
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
`;

/** Run programs as a supervisor would; forget all of it at the end. */
class Stage {
  constructor(context, supervisor) {
    this.supervisor = supervisor;
    this.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'preload-'));
    this.children = [];
    context.after(async () => {
      for (const child of this.children) {
        try {
          process.kill(-child.pid, 'SIGKILL');
        } catch {
          // It has ended.
        }
        if (child.exitCode === null && child.signalCode === null) {
          await new Promise((resolve) => child.once('exit', resolve));
        }
      }
      supervisor.close();
      fs.rmSync(this.directory, { recursive: true, force: true });
    });
  }

  write(name, text) {
    const file = path.join(this.directory, name);
    fs.writeFileSync(file, text);
    return file;
  }

  /** Start a program; `said` and `complained` are what it printed, `told` its channel. */
  run(argv, more = {}) {
    const env = {
      ...process.env,
      PATH: `${BIN}:${process.env.PATH}`,
      ...this.supervisor.environment,
      NODE_OPTIONS: `--require=${PRELOAD}`,
      npm_config_update_notifier: 'false',
      ...more,
    };
    delete env.NODE_CHANNEL_FD;
    const stdio = ['ignore', 'pipe', 'pipe'];
    if (more.GAPLESS_CHANNEL_FD) {
      while (stdio.length < CHANNEL) stdio.push('ignore');
      stdio.push('pipe');
    }
    const [program, ...rest] = argv;
    const child = spawn(program, rest, { cwd: this.directory, env, stdio, detached: true });
    const one = { child, said: '', complained: '', told: '' };
    child.stdout.on('data', (piece) => (one.said += piece));
    child.stderr.on('data', (piece) => (one.complained += piece));
    if (child.stdio[CHANNEL]) {
      child.stdio[CHANNEL].on('data', (piece) => (one.told += piece));
      child.stdio[CHANNEL].on('error', () => {});
    }
    this.children.push(child);
    return one;
  }

  async port(one) {
    const found = await until(() => one.said.match(/^(\d+)$/m), 'a port');
    return Number(found[1]);
  }
}

async function stage(context) {
  return new Stage(context, await new FakeSupervisor().listen());
}

test('answers close their connection once the process drains', async (context) => {
  const on = await stage(context);
  const one = on.run(['node', on.write('app.js', PLAIN)]);
  const port = await on.port(one);
  await on.supervisor.until({ mode: 'serving', requests: 0 });
  const [process_] = on.supervisor.processes;
  assert.equal(process_.hello.scope, 'http');
  assert.match(process_.hello.library, /^gapless-preload /);
  const agent = new http.Agent({ keepAlive: true });
  const before = await ask(port, { agent });
  assert.notEqual(before.headers.connection, 'close');
  const slow = ask(port, { agent, path: '/slow' });
  await until(() => one.said.includes('slow'), 'the slow request to begin');
  on.supervisor.order('drain handoff');
  await on.supervisor.until({ mode: 'handoff', requests: 1 });
  one.child.kill('SIGUSR2');
  assert.equal((await slow).headers.connection, 'close');
  assert.equal((await ask(port, { agent })).headers.connection, 'close');
  await on.supervisor.until({ requests: 0 });
  on.supervisor.order('undrain');
  await on.supervisor.until({ mode: 'serving' });
  assert.notEqual((await ask(port, { agent })).headers.connection, 'close');
  assert.equal(one.complained, '');
  assert.equal(one.said, `${port}\nslow\n`);
});

test('Express is an HTTP server like any other', async (context) => {
  const on = await stage(context);
  const express = require.resolve('express');
  const app = `
    const app = require('${express}')();
    app.get('/', (request, response) => response.json({ ok: true }));
    const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));`;
  const port = await on.port(on.run(['node', on.write('app.js', app)]));
  on.supervisor.order('drain handoff');
  await on.supervisor.until({ mode: 'handoff' });
  const answer = await ask(port);
  assert.equal(answer.headers.connection, 'close');
  assert.equal(answer.body, '{"ok":true}');
});

test('modules and https are seen as well', async (context) => {
  const on = await stage(context);
  const app = `
    import https from 'node:https';
    const server = https.createServer({}, (request, response) => response.end('x'));
    server.listen(0, '127.0.0.1', () => console.log(server.address().port));`;
  await on.port(on.run(['node', on.write('app.mjs', app)]));
  await on.supervisor.until({ mode: 'serving' });
});

test('each worker of a cluster speaks, and the primary does not', async (context) => {
  const on = await stage(context);
  const app = `
    const cluster = require('node:cluster');
    if (cluster.isPrimary) { cluster.fork(); cluster.fork(); }
    else require('node:http').createServer((request, response) => response.end('x'))
      .listen(0, '127.0.0.1', function () { console.log(this.address().port); });`;
  const one = on.run(['node', on.write('app.js', app)]);
  await until(() => on.supervisor.processes.length === 2, 'two workers');
  await on.supervisor.until({ mode: 'serving' });
  const pids = on.supervisor.processes.map(({ hello }) => hello.pid);
  assert.ok(!pids.includes(one.child.pid));
});

test('a program that uses the library counts by itself', async (context) => {
  for (const order of ['drain first', 'server first']) {
    const on = await stage(context);
    const makeDrain = `const drain = new (require('${LIBRARY}').Drain)({ onSignal: null });`;
    const makeServer = `const server = require('node:http')
      .createServer((request, response) => response.end('x'));
      server.listen(0, '127.0.0.1', () => console.log(server.address().port));`;
    const both = order === 'drain first' ? [makeDrain, makeServer] : [makeServer, makeDrain];
    const one = on.run(['node', on.write('app.js', `${both.join('\n')}\ndrain.attach(server);`)]);
    const port = await on.port(one);
    await until(
      () => on.supervisor.processes.length === 1 && on.supervisor.processes[0].hello,
      'one speaker',
    );
    assert.match(on.supervisor.processes[0].hello.library, /^gapless-drain /, order);
    on.supervisor.order('drain handoff');
    await on.supervisor.until({ mode: 'handoff' });
    await ask(port);
    await until(() => on.supervisor.processes[0].counts.finished.requests === 1, order);
  }
});

test('what serves nothing ends by itself, and says nothing', async (context) => {
  const on = await stage(context);
  const script = "console.log('done', Object.keys(process.env).includes('GAPLESS_CHANNEL_FD'))";
  const one = on.run(['node', '-e', script]);
  await new Promise((resolve) => one.child.once('close', resolve));
  assert.equal(one.said, 'done false\n');
  assert.equal(one.complained, '');
  assert.equal(one.child.exitCode, 0);
  assert.equal(on.supervisor.processes.length, 0);
});

test('without a supervisor nothing happens, and a dead one hurts nobody', async (context) => {
  const on = await stage(context);
  const app = on.write('app.js', PLAIN);
  const without = on.run(['node', app], { GAPLESS_SOCKET: '', GAPLESS_INSTANCE: '' });
  assert.equal((await ask(await on.port(without))).body, 'hello');
  const dead = on.run(['node', app], { GAPLESS_SOCKET: '/not/there' });
  assert.equal((await ask(await on.port(dead))).body, 'hello');
  assert.equal(without.complained + dead.complained, '');
  assert.equal(on.supervisor.processes.length, 0);
});

test('a server that is no HTTP is left alone', async (context) => {
  const on = await stage(context);
  const app = `require('node:net').createServer((socket) => socket.end('raw'))
    .listen(0, '127.0.0.1', function () { console.log(this.address().port); });`;
  const port = await on.port(on.run(['node', on.write('app.js', app)]));
  const heard = await new Promise((resolve) => {
    let text = '';
    net
      .connect(port, '127.0.0.1')
      .on('data', (piece) => (text += piece))
      .on('close', () => resolve(text));
  });
  assert.equal(heard, 'raw');
  assert.equal(on.supervisor.processes.length, 0);
});

// --- runners ------------------------------------------------------------------------

const READY = `${PLAIN.replace(
  'console.log(this.address().port);',
  "process.send('ready'); console.log(this.address().port);",
)}
process.on('message', (message) => {
  console.log('heard', message);
  process.exit(0);
});`;

const RUNNERS = {
  'npm start': ['npm', 'start'],
  'npm run start': ['npm', 'run', '--silent', 'start'],
  'pnpm start': ['pnpm', 'start'],
  'yarn start': ['yarn', 'start'],
};

for (const [name, argv] of Object.entries(RUNNERS)) {
  test(`${name}: the app speaks, says ready, and hears`, async (context) => {
    const on = await stage(context);
    on.write('app.js', READY);
    on.write('package.json', '{"name": "x", "version": "1.0.0", "scripts": {"start": "node app.js"}}');
    const one = on.run(argv, { GAPLESS_CHANNEL_FD: String(CHANNEL) });
    const port = await on.port(one);
    await until(() => one.told === '"ready"\n', 'ready');
    await on.supervisor.until({ mode: 'serving' });
    assert.equal(on.supervisor.processes.length, 1);
    on.supervisor.order('drain handoff');
    await on.supervisor.until({ mode: 'handoff' });
    assert.equal((await ask(port)).headers.connection, 'close');
    one.child.stdio[CHANNEL].write('"shutdown"\n');
    await until(() => one.said.includes('heard shutdown'), 'the word');
  });
}

test('tsx runs TypeScript, and the app speaks', async (context) => {
  const on = await stage(context);
  on.write('app.ts', `const typed: number = 1;\n${PLAIN.replace('const http', 'const http: any')}`);
  const port = await on.port(on.run(['tsx', 'app.ts']));
  await on.supervisor.until({ mode: 'serving' });
  on.supervisor.order('drain handoff');
  await on.supervisor.until({ mode: 'handoff' });
  assert.equal((await ask(port)).headers.connection, 'close');
});
