'use strict';
// Programs that do not use the library, started with `--require preload.js`: real processes
// and real runners.

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

/** Runs programs as a supervisor would; removes everything at the end. */
class Programs {
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

  /** Start a program; `stdout` and `stderr` are what it printed, `channel` what it sent. */
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
    const [command, ...rest] = argv;
    const child = spawn(command, rest, { cwd: this.directory, env, stdio, detached: true });
    const program = { child, stdout: '', stderr: '', channel: '' };
    child.stdout.on('data', (piece) => (program.stdout += piece));
    child.stderr.on('data', (piece) => (program.stderr += piece));
    if (child.stdio[CHANNEL]) {
      child.stdio[CHANNEL].on('data', (piece) => (program.channel += piece));
      child.stdio[CHANNEL].on('error', () => {});
    }
    this.children.push(child);
    return program;
  }

  async port(program) {
    const found = await until(() => program.stdout.match(/^(\d+)$/m), 'a port');
    return Number(found[1]);
  }
}

async function open(context) {
  return new Programs(context, await new FakeSupervisor().listen());
}

test('answers close their connection once the process drains', async (context) => {
  const programs = await open(context);
  const program = programs.run(['node', programs.write('app.js', PLAIN)]);
  const port = await programs.port(program);
  await programs.supervisor.until({ mode: 'serving', requests: 0 });
  const [connected] = programs.supervisor.processes;
  assert.equal(connected.hello.scope, 'http');
  assert.match(connected.hello.library, /^gapless-preload /);
  const agent = new http.Agent({ keepAlive: true });
  const before = await ask(port, { agent });
  assert.notEqual(before.headers.connection, 'close');
  const slow = ask(port, { agent, path: '/slow' });
  await until(() => program.stdout.includes('slow'), 'the slow request to begin');
  programs.supervisor.order('drain handoff');
  await programs.supervisor.until({ mode: 'handoff', requests: 1 });
  program.child.kill('SIGUSR2');
  assert.equal((await slow).headers.connection, 'close');
  assert.equal((await ask(port, { agent })).headers.connection, 'close');
  await programs.supervisor.until({ requests: 0 });
  programs.supervisor.order('undrain');
  await programs.supervisor.until({ mode: 'serving' });
  assert.notEqual((await ask(port, { agent })).headers.connection, 'close');
  assert.equal(program.stderr, '');
  assert.equal(program.stdout, `${port}\nslow\n`);
});

test('an answer that comes before the end of its request is not reset', async (context) => {
  const programs = await open(context);
  const program = programs.run(['node', programs.write('app.js', PLAIN)]);
  const port = await programs.port(program);
  programs.supervisor.order('drain handoff');
  await programs.supervisor.until({ mode: 'handoff' });
  const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  let answer = '';
  let ended = false;
  let error = null;
  client.on('data', (piece) => (answer += piece));
  client.on('end', () => (ended = true));
  client.on('error', (found) => (error = found));
  client.write('POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 40\r\n\r\n');
  await until(() => ended, 'the end of the answer');
  assert.match(answer, /Connection: close[\s\S]*hello$/);
  for (let sent = 0; sent < 40; sent += 10) {
    await new Promise((resolve) => client.write('0123456789', resolve));
  }
  const closed = new Promise((resolve) => client.once('close', resolve));
  client.end();
  await closed;
  assert.equal(error, null);
});

test('Express is an HTTP server like any other', async (context) => {
  const programs = await open(context);
  const express = require.resolve('express');
  const app = `
    const app = require('${express}')();
    app.get('/', (request, response) => response.json({ ok: true }));
    const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));`;
  const port = await programs.port(programs.run(['node', programs.write('app.js', app)]));
  programs.supervisor.order('drain handoff');
  await programs.supervisor.until({ mode: 'handoff' });
  const answer = await ask(port);
  assert.equal(answer.headers.connection, 'close');
  assert.equal(answer.body, '{"ok":true}');
});

test('servers of modules and of https are counted as well', async (context) => {
  const programs = await open(context);
  const app = `
    import https from 'node:https';
    const server = https.createServer({}, (request, response) => response.end('x'));
    server.listen(0, '127.0.0.1', () => console.log(server.address().port));`;
  await programs.port(programs.run(['node', programs.write('app.mjs', app)]));
  await programs.supervisor.until({ mode: 'serving' });
});

test('each worker of a cluster connects, and the primary does not', async (context) => {
  const programs = await open(context);
  const app = `
    const cluster = require('node:cluster');
    if (cluster.isPrimary) { cluster.fork(); cluster.fork(); }
    else require('node:http').createServer((request, response) => response.end('x'))
      .listen(0, '127.0.0.1', function () { console.log(this.address().port); });`;
  const program = programs.run(['node', programs.write('app.js', app)]);
  await until(() => programs.supervisor.processes.length === 2, 'two workers');
  await programs.supervisor.until({ mode: 'serving' });
  const pids = programs.supervisor.processes.map(({ hello }) => hello.pid);
  assert.ok(!pids.includes(program.child.pid));
});

test('a program that uses the library counts by itself', async (context) => {
  for (const order of ['drain first', 'server first']) {
    const programs = await open(context);
    const makeDrain = `const drain = new (require('${LIBRARY}').Drain)({ onSignal: null });`;
    const makeServer = `const server = require('node:http')
      .createServer((request, response) => response.end('x'));
      server.listen(0, '127.0.0.1', () => console.log(server.address().port));`;
    const both = order === 'drain first' ? [makeDrain, makeServer] : [makeServer, makeDrain];
    const app = programs.write('app.js', `${both.join('\n')}\ndrain.attach(server);`);
    const program = programs.run(['node', app]);
    const port = await programs.port(program);
    await until(
      () => programs.supervisor.processes.length === 1 && programs.supervisor.processes[0].hello,
      'one connection',
    );
    assert.match(programs.supervisor.processes[0].hello.library, /^gapless-drain /, order);
    programs.supervisor.order('drain handoff');
    await programs.supervisor.until({ mode: 'handoff' });
    await ask(port);
    await until(() => programs.supervisor.processes[0].counts.finished.requests === 1, order);
  }
});

test('a library that was handed no server leaves the requests to the preload', async (context) => {
  const programs = await open(context);
  const app = programs.write(
    'app.js',
    `const drain = new (require('${LIBRARY}').Drain)({ onSignal: null });
    const server = require('node:http').createServer((request, response) => {
      if (request.url === '/attach') drain.attach(server);
      if (request.url === '/wrap') drain.listener(() => {});
      response.end('x');
    });
    server.listen(0, '127.0.0.1', () => console.log(server.address().port));
    drain.begin('job');`,
  );
  for (const path of ['/attach', '/wrap']) {
    const program = programs.run(['node', app]);
    const port = await programs.port(program);
    const { supervisor } = programs;
    const scopes = () => supervisor.processes.map(({ hello }) => hello && hello.scope).sort();
    await until(() => String(scopes()) === 'http,procedures', 'both');
    supervisor.order('drain handoff');
    await supervisor.until({ mode: 'handoff' });
    assert.equal((await ask(port)).headers.connection, 'close');
    const sum = (name) => supervisor.processes.reduce((all, { counts }) => all + counts[name], 0);
    assert.equal(sum('procedures'), 1);
    supervisor.order('undrain');
    await supervisor.until({ mode: 'serving' });
    await ask(port, { path });
    await until(() => scopes().length === 1 && scopes()[0] === undefined, 'the library alone');
    assert.match(supervisor.processes[0].hello.library, /^gapless-drain /);
    program.child.kill('SIGKILL');
    await until(() => supervisor.processes.length === 0, 'the end');
  }
});

test('a program that serves nothing ends by itself, and prints nothing', async (context) => {
  const programs = await open(context);
  const script = "console.log('done', Object.keys(process.env).includes('GAPLESS_CHANNEL_FD'))";
  const program = programs.run(['node', '-e', script]);
  await new Promise((resolve) => program.child.once('close', resolve));
  assert.equal(program.stdout, 'done false\n');
  assert.equal(program.stderr, '');
  assert.equal(program.child.exitCode, 0);
  assert.equal(programs.supervisor.processes.length, 0);
});

test('without a supervisor, or with a dead one, the program serves', async (context) => {
  const programs = await open(context);
  const app = programs.write('app.js', PLAIN);
  const without = programs.run(['node', app], { GAPLESS_SOCKET: '', GAPLESS_INSTANCE: '' });
  assert.equal((await ask(await programs.port(without))).body, 'hello');
  const dead = programs.run(['node', app], { GAPLESS_SOCKET: '/not/there' });
  assert.equal((await ask(await programs.port(dead))).body, 'hello');
  assert.equal(without.stderr + dead.stderr, '');
  assert.equal(programs.supervisor.processes.length, 0);
});

test('a server of another protocol is left alone', async (context) => {
  const programs = await open(context);
  const app = `require('node:net').createServer((socket) => socket.end('raw'))
    .listen(0, '127.0.0.1', function () { console.log(this.address().port); });`;
  const port = await programs.port(programs.run(['node', programs.write('app.js', app)]));
  const received = await new Promise((resolve) => {
    let text = '';
    net
      .connect(port, '127.0.0.1')
      .on('data', (piece) => (text += piece))
      .on('close', () => resolve(text));
  });
  assert.equal(received, 'raw');
  assert.equal(programs.supervisor.processes.length, 0);
});

// --- runners ------------------------------------------------------------------------

const READY = `${PLAIN.replace(
  'console.log(this.address().port);',
  "process.send('ready'); console.log(this.address().port);",
)}
process.on('message', (message) => {
  console.log('received', message);
  process.exit(0);
});`;

const RUNNERS = {
  'npm start': ['npm', 'start'],
  'npm run start': ['npm', 'run', '--silent', 'start'],
  'pnpm start': ['pnpm', 'start'],
  'yarn start': ['yarn', 'start'],
};

for (const [name, argv] of Object.entries(RUNNERS)) {
  test(`${name}: the app connects, sends ready, and receives`, async (context) => {
    const programs = await open(context);
    programs.write('app.js', READY);
    const scripts = { start: 'node app.js' };
    const manifest = JSON.stringify({ name: 'x', version: '1.0.0', scripts });
    programs.write('package.json', manifest);
    const program = programs.run(argv, { GAPLESS_CHANNEL_FD: String(CHANNEL) });
    const port = await programs.port(program);
    await until(() => program.channel === '"ready"\n', 'ready');
    await programs.supervisor.until({ mode: 'serving' });
    assert.equal(programs.supervisor.processes.length, 1);
    programs.supervisor.order('drain handoff');
    await programs.supervisor.until({ mode: 'handoff' });
    assert.equal((await ask(port)).headers.connection, 'close');
    program.child.stdio[CHANNEL].write('"shutdown"\n');
    await until(() => program.stdout.includes('received shutdown'), 'the message');
  });
}

test('tsx runs TypeScript, and the app connects', async (context) => {
  const programs = await open(context);
  const typed = PLAIN.replace('const http', 'const http: any');
  programs.write('app.ts', `const typed: number = 1;\n${typed}`);
  const port = await programs.port(programs.run(['tsx', 'app.ts']));
  await programs.supervisor.until({ mode: 'serving' });
  programs.supervisor.order('drain handoff');
  await programs.supervisor.until({ mode: 'handoff' });
  assert.equal((await ask(port)).headers.connection, 'close');
});

// --- rejections -----------------------------------------------------------------------

const REJECTS = `
  const child = require('node:child_process');
  Promise.reject(new Error('the first'));
  setTimeout(() => Promise.reject({ inspect: 1 }), 20);
  setTimeout(() => Promise.reject(undefined), 40);
  setTimeout(() => Promise.reject(new Proxy({}, { get() { throw new Error('trap'); } })), 60);
  setTimeout(() => Promise.reject({ [Symbol.for('nodejs.util.inspect.custom')]() { throw 1; } }), 80);
  setTimeout(() => {
    const ended = child.spawnSync(process.execPath, ['-e', 'Promise.reject(1)']).status;
    console.log('alive', process.env.GAPLESS_UNHANDLED_REJECTIONS, 'child', ended);
  }, 120);`;
const SURVIVES = { GAPLESS_UNHANDLED_REJECTIONS: 'log' };

async function ended(program) {
  await new Promise((resolve) => program.child.once('close', resolve));
  return program.child.exitCode;
}

test('an unhandled rejection is logged, and the program goes on as under PM2', async (context) => {
  const programs = await open(context);
  const program = programs.run(['node', programs.write('app.js', REJECTS)], SURVIVES);
  assert.equal(await ended(program), 0);
  assert.match(program.stdout, /^alive undefined child 1\n$/);
  assert.match(program.stderr, /^unhandled rejection: Error: the first\n {4}at /);
  assert.match(program.stderr, /rejection: \{ inspect: 1 \}\n/);
  assert.match(program.stderr, /rejection: undefined\n/);
  assert.match(program.stderr, /rejection: a value that cannot be shown\n/);
  assert.equal(program.stderr.split('This is said once.').length, 2);
});

test('without a word of the supervisor a rejection ends the program', async (context) => {
  const programs = await open(context);
  assert.equal(await ended(programs.run(['node', programs.write('app.js', REJECTS)])), 1);
});

test('a program that listens for rejections, or is strict, is left alone', async (context) => {
  const programs = await open(context);
  const own = `
    process.ONCE('unhandledRejection', (reason) => console.log('mine', reason));
    Promise.reject(1);`;
  for (const word of ['on', 'once', 'prependListener']) {
    const app = programs.write(`${word}.js`, own.replace('ONCE', word));
    const program = programs.run(['node', app], SURVIVES);
    assert.equal(await ended(program), 0);
    assert.equal(program.stdout, 'mine 1\n');
    assert.equal(program.stderr, '', word);
  }
  const none = `process.removeAllListeners('unhandledRejection'); Promise.reject(1);`;
  assert.equal(await ended(programs.run(['node', '-e', none], SURVIVES)), 1);
  const strict = ['node', '--unhandled-rejections=strict', '-e', 'Promise.reject(1)'];
  assert.equal(await ended(programs.run(strict, SURVIVES)), 1);
  const thrown = programs.run(['node', '-e', 'setTimeout(() => { throw 1; })'], SURVIVES);
  assert.equal(await ended(thrown), 1);
});
