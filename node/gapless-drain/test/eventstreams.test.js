'use strict';
// An app whose event stream a drain has ended sees what it sees when its client leaves.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const http = require('node:http');
const http2 = require('node:http2');
const net = require('node:net');
const { Readable, finished, pipeline } = require('node:stream');
const { test } = require('node:test');
const { listening } = require('./frameworks.js');
const { until } = require('./rig.js');
const { closers, counted, served } = require('./served.js');

const TYPE = { 'content-type': 'text/event-stream' };
const GET = 'GET / HTTP/1.1\r\nHost: a.example\r\n\r\n';
const EVENT = 'data: x\n\n';
const soon = () => new Promise((resolve) => setTimeout(resolve, 5));

/** Events without an end; `seen.finally` once nobody wants more. */
async function* events(seen) {
  try {
    for (;;) {
      yield EVENT;
      await soon();
    }
  } finally {
    seen.finally = true;
  }
}

/** A Readable without an end. */
function readable(seen) {
  return new Readable({
    read() {
      setTimeout(() => this.push(EVENT), 5);
    },
    destroy(error, done) {
      seen.finally = true;
      done(error);
    },
  });
}

/** Write until the answer is closed, as fast as it takes it. */
async function writeByHand(answer, seen) {
  const left = new AbortController();
  answer.once('close', () => left.abort());
  while (!left.signal.aborted) {
    if (!answer.write(EVENT)) await once(answer, 'drain', { signal: left.signal }).catch(() => {});
    await soon();
  }
  seen.finally = true;
  seen.code = 'ERR_STREAM_PREMATURE_CLOSE';
}

/** Write until a callback says that nothing arrives. */
async function writeWithCallbacks(answer, seen) {
  const ended = new Promise((resolve) => finished(answer, resolve));
  for (let error = null; !error; await soon()) {
    error = await new Promise((resolve) => answer.write(EVENT, resolve));
    if (error) assert.equal(error.code, 'ERR_STREAM_DESTROYED');
  }
  seen.finally = true;
  seen.code = (await ended)?.code;
}

const piped = (source) => (answer, seen) =>
  new Promise((resolve) => pipeline(source(seen), answer, (error) => resolve((seen.code = error?.code))));

const APPS = {
  'a generator in a pipeline': piped(events),
  'a Readable in a pipeline': piped(readable),
  'a loop that waits for drain': writeByHand,
  'a loop that waits for callbacks': writeWithCallbacks,
};

/** What the app sees of its answer. */
function watched(answer, listensForErrors) {
  const seen = { events: [], code: null, finally: false };
  for (const event of ['finish', 'close']) answer.on(event, () => seen.events.push(event));
  if (listensForErrors) answer.on('error', (error) => seen.events.push(`error ${error.code}`));
  return seen;
}

function connect(port) {
  const socket = net.connect(port, '127.0.0.1');
  const client = { socket, text: '' };
  socket.on('data', (piece) => (client.text += piece.toString('latin1')));
  socket.on('error', () => {});
  closers.push(() => socket.destroy());
  return client;
}

/** A server of an app's event stream, in a procedure. */
async function streaming(write, { listensForErrors = false, first = EVENT } = {}) {
  const state = { seen: null, answer: null };
  let it = null;
  const server = http.createServer((request, response) => {
    response.writeHead(200, TYPE);
    state.answer = response;
    state.seen = watched(response, listensForErrors);
    response.write(first);
    it.drain.procedure('feed', () => write(response, state.seen));
  });
  it = await served(await listening(server));
  return Object.assign(it, { state });
}

const idle = (it) => until(() => it.drain.counts().procedures === 0 && counted(it) === 0, 'the end of the app');

for (const [name, write] of Object.entries(APPS)) {
  for (const listensForErrors of [false, true]) {
    const how = listensForErrors ? 'and listens for errors' : 'and does not listen for errors';
    test(`${name} ends with its event stream, ${how}`, async () => {
      const shown = [];
      for (const leave of ['the client', 'the drain']) {
        const it = await streaming(write, { listensForErrors });
        const client = connect(it.port);
        client.socket.write(GET);
        await until(() => client.text.includes(EVENT), 'the first event');
        if (leave === 'the client') client.socket.destroy();
        else it.supervisor.order('drain handoff');
        await idle(it);
        const { answer, seen } = it.state;
        if (leave === 'the drain') await until(() => client.text.endsWith('\r\n0\r\n\r\n'), 'the last chunk');
        const { destroyed, writableEnded, writableFinished } = answer;
        shown.push({ seen, destroyed, writableEnded, writableFinished });
      }
      assert.deepEqual(shown[1], shown[0]);
      assert.deepEqual(shown[1].seen, { events: ['close'], code: 'ERR_STREAM_PREMATURE_CLOSE', finally: true });
    });
  }
}

test('the connection of an event stream that was ended serves the next request', async () => {
  const it = await streaming(APPS['a generator in a pipeline']);
  const client = connect(it.port);
  client.socket.write(GET);
  await until(() => client.text.includes(EVENT), 'the first event');
  it.supervisor.order('drain handoff');
  await idle(it);
  it.supervisor.order('undrain');
  await it.supervisor.until({ mode: 'serving' });
  client.text = '';
  client.socket.write(GET);
  await until(() => client.text.includes(EVENT), 'the first event of the next answer');
});

test('an event stream whose client does not read ends as well', async () => {
  const it = await streaming(APPS['a generator in a pipeline'], { first: 'x'.repeat(32 << 20) });
  const client = connect(it.port);
  client.socket.pause();
  client.socket.write(GET);
  await until(() => it.state.seen, 'the stream');
  it.supervisor.order('drain handoff');
  await idle(it);
  assert.deepEqual(it.state.seen.events, ['close']);
  assert.equal(it.state.seen.code, 'ERR_STREAM_PREMATURE_CLOSE');
});

test('end calls back, with an error, when the drain has ended the stream', async () => {
  const it = await streaming(async (answer) => {
    await once(answer, 'close');
    const error = await new Promise((resolve) => answer.end('bye', resolve));
    assert.equal(error.code, 'ERR_STREAM_DESTROYED');
  });
  const client = connect(it.port);
  client.socket.write(GET);
  await until(() => client.text.includes(EVENT), 'the first event');
  it.supervisor.order('drain handoff');
  await idle(it);
});

const HTTP2 = [
  ['an answer', 'request', (_, response) => (response.writeHead(200, TYPE), response)],
  ['a stream', 'stream', (stream) => (stream.respond(TYPE), stream)],
];

/** The same for a server of HTTP/2, and a stream of its client. */
async function streamingHttp2(event, begin, write) {
  const server = http2.createServer();
  const state = { seen: null };
  let it = null;
  server.on(event, (...rest) => {
    const answer = begin(...rest);
    state.seen = watched(answer, false);
    it.drain.procedure('feed', () => write(answer, state.seen));
  });
  it = await served(await listening(server));
  const client = http2.connect(`http://127.0.0.1:${it.port}`);
  closers.push(() => client.destroy());
  return Object.assign(it, { state, stream: client.request({ ':path': '/' }) });
}

for (const [kind, event, begin] of HTTP2) {
  for (const [name, write] of Object.entries(APPS)) {
    test(`${name} ends with ${kind} of HTTP/2`, async () => {
      const it = await streamingHttp2(event, begin, write);
      const { stream } = it;
      let text = '';
      let ended = false;
      stream.on('data', (piece) => (text += piece));
      stream.on('end', () => (ended = true));
      await until(() => text.includes(EVENT), 'the first event');
      it.supervisor.order('drain handoff');
      await idle(it);
      await until(() => ended, 'the end of the stream');
      assert.equal(stream.rstCode, 0);
      assert.deepEqual(it.state.seen, { events: ['close'], code: 'ERR_STREAM_PREMATURE_CLOSE', finally: true });
    });
  }

  test(`${kind} of HTTP/2 whose client does not read ends as well`, async () => {
    const it = await streamingHttp2(event, begin, (answer, seen) => {
      answer.write('x'.repeat(1 << 20)); // more than the window of a stream
      return APPS['a generator in a pipeline'](answer, seen);
    });
    it.stream.on('error', () => {});
    await until(() => it.state.seen, 'the stream');
    it.supervisor.order('drain handoff');
    await idle(it);
    assert.deepEqual(it.state.seen.events, ['close']);
    assert.equal(it.state.seen.code, 'ERR_STREAM_PREMATURE_CLOSE');
  });
}
