'use strict';
// How answers end in a drain, and that they are counted no longer than they are under way.

const assert = require('node:assert/strict');
const http = require('node:http');
const http2 = require('node:http2');
const net = require('node:net');
const { test } = require('node:test');
const { Drain } = require('../src/index.js');
const { listening } = require('./frameworks.js');
const { ask, until } = require('./rig.js');
const { closers, counted, served } = require('./served.js');

const GET = (path) => `GET ${path} HTTP/1.1\r\nHost: a.example\r\n\r\n`;
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A connection, and what it has received. */
function connect(port) {
  const socket = net.connect(port, '127.0.0.1');
  const client = { socket, text: '', ended: false };
  socket.on('data', (piece) => (client.text += piece.toString('latin1')));
  socket.on('end', () => (client.ended = true));
  socket.on('error', () => {});
  closers.push(() => socket.destroy());
  return client;
}

/** A server that keeps its answers; `answers` has them by their paths. */
async function keeping(begin = () => {}) {
  const answers = {};
  const server = await listening(
    http.createServer((request, response) => {
      answers[request.url] = response;
      begin(response);
    }),
  );
  return { ...(await served(server)), answers };
}

async function handoff({ supervisor }) {
  supervisor.order('drain handoff');
  await supervisor.until({ mode: 'handoff' });
}

// --- event streams --------------------------------------------------------------------

test('an app that writes to an event stream that was ended gets no error', async () => {
  let write = null;
  const it = await keeping((response) => {
    response.setHeader('Content-Type', 'text/event-stream');
    write = response.write.bind(response);
    response.write('x'.repeat(32 << 20)); // more than a connection takes
  });
  const { socket } = connect(it.port);
  socket.pause();
  socket.write(GET('/'));
  await until(() => it.answers['/'], 'the stream');
  await handoff(it);
  const response = it.answers['/'];
  assert.equal(response.writableFinished, false);
  const failed = await new Promise((resolve) => response.write('data: x\n\n', resolve));
  assert.equal(failed.code, 'ERR_STREAM_DESTROYED');
  assert.equal(response.write('data: x\n\n'), false);
  write('data: x\n\n');
  response.end('bye');
  await turn();
  assert.equal(counted(it), 1);
  socket.resume();
  await until(() => counted(it) === 0, 'the end of the stream');
});

test('an event stream that the app has ended keeps its own errors', async () => {
  const it = await keeping((response) => {
    response.setHeader('Content-Type', 'text/event-stream');
    response.end('x'.repeat(32 << 20));
  });
  const { socket } = connect(it.port);
  socket.pause();
  socket.write(GET('/'));
  await until(() => it.answers['/'], 'the stream');
  await handoff(it);
  const [response] = [it.answers['/']];
  const error = new Promise((resolve) => response.once('error', resolve));
  response.write('more');
  assert.equal((await error).code, 'ERR_STREAM_WRITE_AFTER_END');
});

const TYPE = 'text/event-stream; charset=utf-8';
for (const [form, rest] of Object.entries({
  'an object': [{ 'content-type': TYPE }],
  'a reason and an object': ['Fine', { 'Content-Type': TYPE }],
  'a flat array': [['X-A', 'b', 'Content-Type', TYPE]],
  pairs: [[['X-A', 'b'], ['Content-Type', TYPE]]],
})) {
  test(`an event stream is known by writeHead with ${form}`, async () => {
    const it = await keeping((response) => {
      response.writeHead(200, ...rest);
      response.write('data: x\n\n');
    });
    const client = connect(it.port);
    client.socket.write(GET('/'));
    await until(() => client.text.includes('data: x'), 'the first event');
    await handoff(it);
    await until(() => client.text.endsWith('0\r\n\r\n'), 'the end of the stream');
  });
}

// --- connections ----------------------------------------------------------------------

const KEEP = 'keep-alive';
const HEADS = {
  'an object': (response) => response.writeHead(200, { connection: KEEP, 'X-A': 'b' }),
  'a reason': (response) => response.writeHead(200, 'Fine', { Connection: KEEP, 'X-A': 'b' }),
  'no reason': (response) => response.writeHead(200, undefined, { Connection: KEEP, 'X-A': 'b' }),
  'a flat array': (response) =>
    response.writeHead(200, ['Connection', KEEP, 'Set-Cookie', 'a', 'Set-Cookie', 'b', 'X-A', 'b']),
  pairs: (response) =>
    response.writeHead(200, [['connection', KEEP], ['Set-Cookie', 'a'], ['Set-Cookie', 'b'], ['X-A', 'b']]),
  'headers that were set': (response) => {
    response.setHeader('Connection', KEEP);
    response.setHeader('X-A', 'b');
  },
};
for (const [form, writeHead] of Object.entries(HEADS)) {
  test(`an answer closes its connection, whatever the app says by ${form}`, async () => {
    const it = await keeping();
    const before = connect(it.port);
    before.socket.write(GET('/before'));
    await until(() => it.answers['/before'], 'a request');
    await handoff(it);
    const later = connect(it.port);
    later.socket.write(GET('/later'));
    await until(() => it.answers['/later'], 'a request');
    for (const [path, client] of [['/before', before], ['/later', later]]) {
      const response = it.answers[path];
      writeHead(response);
      response.end('hello');
      await until(() => client.ended, 'the end of the connection');
      const [head] = client.text.split('\r\n\r\n');
      assert.match(head, /\r\nX-A: b/);
      assert.deepEqual(head.match(/^connection: .*$/gim).map((line) => line.trim()), ['Connection: close']);
      if (/array|pairs/.test(form)) assert.equal(head.match(/Set-Cookie/g).length, 2);
    }
  });
}

test('what the app writes wrongly is its own error, and nothing stays on the connection', async () => {
  const it = await keeping();
  const client = connect(it.port);
  client.socket.write(GET('/'));
  await until(() => it.answers['/'], 'a request');
  await handoff(it);
  const response = it.answers['/'];
  assert.throws(() => response.writeHead(200, ['odd']), { code: 'ERR_INVALID_ARG_VALUE' });
  assert.throws(() => response.writeHead(2000), { code: 'ERR_HTTP_INVALID_STATUS_CODE' });
  const { socket } = response;
  response.end('hello');
  await until(() => client.ended, 'the end of the connection');
  assert.equal(Object.prototype.hasOwnProperty.call(socket, 'destroySoon'), false);
});

test('every answer to what a client has sent at once comes before the connection closes', async () => {
  const it = await keeping();
  const client = connect(it.port);
  client.socket.write(GET('/1') + GET('/2'));
  await until(() => counted(it) === 2, 'both');
  await handoff(it);
  it.answers['/1'].end('first');
  it.answers['/2'].end('second');
  await until(() => client.ended, 'the end of the connection');
  assert.match(client.text, /first[\s\S]*second$/);
  assert.equal(client.text.match(/Connection: close/g).length, 1);
  assert.equal(counted(it), 0);
});

// --- counts ---------------------------------------------------------------------------

test('answers that wait behind another one are not counted once their client is gone', async () => {
  const it = await keeping();
  const client = connect(it.port);
  client.socket.write(GET('/1') + GET('/2') + GET('/3'));
  await until(() => counted(it) === 3, 'all');
  client.socket.destroy();
  await until(() => counted(it) === 0, 'nothing under way');
});

test('an answer that the connection ends before is not counted', async () => {
  const it = await keeping();
  await handoff(it);
  const client = connect(it.port);
  client.socket.write(GET('/1') + GET('/2'));
  await until(() => counted(it) === 2, 'both');
  it.answers['/1'].end('first');
  await until(() => client.ended, 'the end of the connection');
  await until(() => counted(it) === 0, 'nothing under way');
});

test('a request that is handed over after its client left is not counted', async () => {
  const drain = new Drain({ environment: {}, onSignal: null });
  const serve = drain.listener((request, response) => response.end('late'));
  let late = null;
  const server = await listening(
    http.createServer((request, response) => {
      response.once('close', () => setImmediate(() => (serve(request, response), (late = true))));
    }),
  );
  closers.push(() => server.close());
  const { socket } = connect(server.address().port);
  socket.write(GET('/'), () => socket.destroy());
  await until(() => late, 'the late call');
  assert.equal(drain.counts().requests, 0);
});

test('a connection has as many listeners after a hundred requests as after one', async () => {
  let socket = null;
  const it = await keeping((response) => {
    socket = response.socket;
    response.end('hello');
  });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  closers.push(() => agent.destroy());
  await ask(it.port, { agent });
  const [first, before] = [socket, socket.listenerCount('close')];
  for (let times = 0; times < 100; times += 1) await ask(it.port, { agent });
  assert.equal(socket, first);
  assert.equal(socket.listenerCount('close'), before);
});

test('CONNECT and other expectations are counted as well', async () => {
  const server = await listening(http.createServer());
  let tunnel = null;
  server.on('connect', (request, socket) => (tunnel = socket).write('HTTP/1.1 200 OK\r\n\r\n'));
  server.on('checkExpectation', (request, response) => response.writeHead(417).end());
  const it = await served(server);
  const client = connect(it.port);
  client.socket.write('CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\n');
  await until(() => counted(it) === 1 && client.text, 'the tunnel');
  tunnel.end();
  tunnel.resume();
  client.socket.end();
  await until(() => counted(it) === 0, 'nothing under way');
  it.supervisor.order('drain recycle');
  await it.supervisor.until({ mode: 'recycle' });
  assert.equal((await ask(it.port, { headers: { Expect: 'more' }, method: 'PUT' }).catch(() => 0)).status ?? 503, 503);
  const refused = connect(it.port);
  refused.socket.write('CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\nmore');
  await until(() => refused.text.startsWith('HTTP/1.1 503'), 'the refusal');
  await until(() => counted(it) === 0, 'nothing under way');
});

// --- HTTP/2 ---------------------------------------------------------------------------

test('streams of HTTP/2 that the app serves itself are counted, refused, ended', async () => {
  const streams = {};
  const server = http2.createServer();
  server.on('stream', (stream, headers) => (streams[headers[':path']] = stream));
  const it = await served(await listening(server), { healthPath: '/health' });
  const client = http2.connect(`http://127.0.0.1:${it.port}`);
  client.on('error', () => {});
  closers.push(() => client.destroy());
  const get = (path, headers = {}) => {
    const stream = client.request({ ':path': path, ...headers });
    const answer = { text: '', status: null, stream };
    stream.on('response', (found) => (answer.status = found[':status']));
    stream.on('data', (piece) => (answer.text += piece));
    stream.on('error', () => {});
    answer.closed = new Promise((resolve) => stream.on('close', resolve));
    return answer;
  };
  const plain = get('/plain');
  const events = get('/events');
  await until(() => counted(it) === 2 && streams['/events'], 'both');
  assert.deepEqual(it.drain.counts().running.map(({ name }) => name), ['GET /plain', 'GET /events']);
  streams['/events'].respond({ 'content-type': 'text/event-stream' });
  streams['/events'].write('data: x\n\n');
  await until(() => events.text, 'the first event');
  it.supervisor.order('drain recycle');
  await events.closed;
  streams['/events'].write('data: x\n\n');
  const refused = get('/');
  const healthy = get('/health');
  const posted = get('/', { ':method': 'POST', expect: '100-continue' });
  posted.stream.on('continue', () => posted.stream.end('x'.repeat(100)));
  await Promise.all([refused.closed, healthy.closed, posted.closed]);
  assert.deepEqual([refused.status, healthy.status, posted.status], [503, 503, 503]);
  assert.equal(streams['/'], undefined);
  streams['/plain'].respond();
  streams['/plain'].end('hello');
  await plain.closed;
  assert.equal(plain.text, 'hello');
  await it.supervisor.until({ requests: 0, refused: 2 });
  assert.equal(it.drain.counts().finished.requests, 2);
});
