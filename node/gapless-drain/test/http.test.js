'use strict';
const assert = require('node:assert/strict');
const http = require('node:http');
const http2 = require('node:http2');
const net = require('node:net');
const { test } = require('node:test');
const { WebSocket, WebSocketServer } = require('ws');
const { Drain, Draining } = require('../src/index.js');
const { FRAMEWORKS, listening, plain, wait } = require('./frameworks.js');
const { ask, until } = require('./rig.js');
const { closers, counted, served } = require('./served.js');

for (const [name, make] of Object.entries(FRAMEWORKS)) {
  test(`${name}: counts, refuses, hands off, goes back`, async () => {
    const it = await served(await make());
    const { supervisor, port } = it;
    const slow = ask(port, { path: '/slow' });
    await until(() => counted(it) === 1, 'the slow request');
    assert.equal((await ask(port, { method: 'POST', body: 'x'.repeat(50_000) })).body.length, 50_000);
    supervisor.order('drain recycle');
    await supervisor.until({ mode: 'recycle', requests: 1 });
    const refused = await ask(port, { method: 'POST', body: 'x'.repeat(300_000) });
    assert.equal(refused.status, 503);
    assert.equal(refused.headers['gapless-drain'], 'recycle');
    assert.equal(refused.headers['retry-after'], '1');
    assert.equal(refused.headers.connection, 'close');
    assert.equal((await ask(port, { method: 'HEAD' })).status, 503);
    const answer = await slow;
    assert.deepEqual([answer.status, answer.body], [200, 'hello']);
    assert.equal(answer.headers.connection, 'close');
    await supervisor.until({ requests: 0, refused: 2, refusing: 0 });
    supervisor.order('undrain');
    await supervisor.until({ mode: 'serving' });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const before = await ask(port, { agent });
    assert.equal(before.headers.connection, 'keep-alive');
    supervisor.order('drain handoff');
    await supervisor.until({ mode: 'handoff' });
    const last = await ask(port, { agent });
    assert.deepEqual([last.status, last.headers.connection], [200, 'close']);
    agent.destroy();
    assert.equal((await ask(port, { path: '/fail' })).status, 500);
    await until(() => counted(it) === 0, 'nothing under way');
  });
}

test('a client that goes away, in the request and in the answer', async () => {
  const it = await served(await listening(http.createServer(plain)));
  const half = net.connect(it.port, '127.0.0.1');
  half.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf');
  const gone = net.connect(it.port, '127.0.0.1');
  gone.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(() => counted(it) === 2, 'both');
  half.destroy();
  gone.destroy();
  await until(() => counted(it) === 0, 'nothing under way');
});

test('100-continue: the body is asked for, then refused', async () => {
  const it = await served(await listening(http.createServer(plain)));
  const headers = { Expect: '100-continue', 'Content-Length': 5 };
  const options = { method: 'POST', headers, body: 'hello' };
  assert.equal((await ask(it.port, options)).body, 'hello');
  it.supervisor.order('drain recycle');
  await it.supervisor.until({ mode: 'recycle' });
  assert.equal((await ask(it.port, options)).status, 503);
  await until(() => counted(it) === 0, 'nothing under way');
});

test('the body of a refused request is read up to the limits', async () => {
  const options = { discardBytes: 1000, discardS: 0.05 };
  const it = await served(await listening(http.createServer(plain)), options);
  it.supervisor.order('drain recycle');
  await it.supervisor.until({ mode: 'recycle' });
  const endless = net.connect(it.port, '127.0.0.1');
  endless.on('error', () => {});
  endless.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\nhalf');
  const [answer] = await new Promise((resolve) => endless.once('data', (d) => resolve([d])));
  assert.match(String(answer), /^HTTP\/1.1 503/);
  endless.destroy();
});

test('the health path says no first', async () => {
  const options = { healthPath: '/health', healthStatus: 404 };
  const it = await served(await listening(http.createServer(plain)), options);
  assert.equal((await ask(it.port, { path: '/health' })).status, 200);
  it.supervisor.order('drain leaving');
  await it.supervisor.until({ mode: 'leaving' });
  assert.equal((await ask(it.port, { path: '/health?x' })).status, 404);
  assert.equal((await ask(it.port)).status, 200);
  it.supervisor.order('drain recycle');
  await it.supervisor.until({ mode: 'recycle' });
  assert.equal((await ask(it.port, { path: '/health' })).status, 404);
  assert.equal((await ask(it.port)).status, 503);
});

test('HTTP/2 is counted and refused, without Connection', async () => {
  const it = await served(await listening(http2.createServer(plain)));
  const client = http2.connect(`http://127.0.0.1:${it.port}`);
  const get = () =>
    new Promise((resolve, reject) => {
      const stream = client.request({ ':path': '/' });
      stream.on('error', reject);
      stream.on('response', (headers) => stream.on('close', () => resolve(headers)));
      stream.resume();
    });
  assert.equal((await get())[':status'], 200);
  it.supervisor.order('drain recycle');
  await it.supervisor.until({ mode: 'recycle' });
  const refused = await get();
  assert.equal(refused[':status'], 503);
  assert.equal(refused.connection, undefined);
  client.close();
  await until(() => counted(it) === 0, 'nothing under way');
});

test('websockets close with 1012, new ones are refused', async () => {
  const server = await listening(http.createServer(plain));
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => socket.on('message', (text) => socket.send(text)));
  const it = await served(server);
  const client = new WebSocket(`ws://127.0.0.1:${it.port}`);
  const closed = new Promise((resolve) => client.on('close', resolve));
  await new Promise((resolve) => client.on('open', resolve));
  assert.equal(counted(it), 1);
  it.supervisor.order('drain recycle');
  assert.equal(await closed, 1012);
  await until(() => counted(it) === 0, 'nothing under way');
  const refused = new WebSocket(`ws://127.0.0.1:${it.port}`);
  const status = await new Promise((resolve) => {
    refused.on('unexpected-response', (request, response) => {
      resolve(response.statusCode);
      request.destroy();
    });
    refused.on('error', () => {});
  });
  assert.equal(status, 503);
});

test('event streams end in good order, long polls are answered', async () => {
  let drain = null;
  const server = await listening(
    http.createServer(async (request, response) => {
      if (request.url === '/poll') {
        await drain.begun();
        assert.ok(drain.signal.aborted);
        return response.end('nothing new');
      }
      response.setHeader('Content-Type', 'text/event-stream');
      response.write('data: first\n\n');
      return undefined;
    }),
  );
  const it = await served(server);
  drain = it.drain;
  const stream = ask(it.port, { path: '/events' });
  const poll = ask(it.port, { path: '/poll' });
  await until(() => counted(it) === 2, 'both');
  await wait(20);
  it.supervisor.order('drain handoff');
  assert.equal((await stream).body, 'data: first\n\n');
  assert.equal((await poll).body, 'nothing new');
  await it.supervisor.until({ requests: 0 });
});

test('procedures: within a request they begin, outside they are refused', async () => {
  let drain = null;
  const server = await listening(
    http.createServer(async (request, response) => {
      const answer = await drain.procedure('within', async () => {
        await wait(50);
        return drain.begin('nested').finish() ?? 'done';
      });
      response.end(answer);
    }),
  );
  const it = await served(server);
  drain = it.drain;
  assert.equal(drain.procedure('outside', () => 7), 7);
  assert.throws(() => drain.procedure('failing', () => assert.fail()), assert.AssertionError);
  await assert.rejects(drain.procedure('rejected', () => Promise.reject(new Error('x'))));
  assert.equal(drain.counts().procedures, 0);
  const asked = ask(it.port);
  await until(() => drain.counts().procedures === 1, 'the procedure');
  it.supervisor.order('drain recycle');
  await it.supervisor.until({ mode: 'recycle' });
  assert.throws(() => drain.procedure('outside', () => 7), Draining);
  assert.equal((await asked).body, 'done');
  await it.supervisor.until({ procedures: 0, requests: 0 });
  const { requests, procedures, named } = drain.counts().finished;
  assert.deepEqual({ requests, procedures }, { requests: 1, procedures: 2 });
  assert.deepEqual(named.map(({ name }) => name), ['within', 'nested']);
});

test('what begins only when it is awaited belongs to its procedure', async () => {
  const it = await served(await listening(http.createServer(plain)));
  const lazy = {
    then(resolve, reject) {
      it.supervisor.order('drain handoff');
      const inner = async () => {
        await it.supervisor.until({ mode: 'handoff' });
        return it.drain.procedure('inner', () => 'done');
      };
      inner().then(resolve, reject);
    },
  };
  assert.equal(await it.drain.procedure('outer', () => lazy), 'done');
  const broken = Object.defineProperty({}, 'then', {
    get() {
      throw new Error('no');
    },
  });
  it.supervisor.order('undrain');
  await it.supervisor.until({ mode: 'serving' });
  assert.throws(() => it.drain.procedure('broken', () => broken), /no/);
  assert.equal(it.drain.counts().procedures, 0);
});

test('a listener can be wrapped without its server', async () => {
  const drain = new Drain({ environment: {}, onSignal: null });
  const server = await listening(http.createServer(drain.listener(plain)));
  closers.push(() => server.close());
  assert.equal((await ask(server.address().port)).body, 'hello');
  assert.equal(drain.counts().requests, 0);
  assert.throws(() => new Drain({ statsu: 503 }), /unknown option: statsu/);
});
