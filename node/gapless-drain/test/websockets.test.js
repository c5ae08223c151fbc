'use strict';
// A close frame comes after the answer 101 and between two messages, or not at all.

const assert = require('node:assert/strict');
const http = require('node:http');
const net = require('node:net');
const { test } = require('node:test');
const { WrittenFrames } = require('../src/websockets.js');
const { listening } = require('./frameworks.js');
const { until } = require('./rig.js');
const { closers, counted, served } = require('./served.js');

const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n';
const CLOSE_FRAME = '880203f4';
const ASK =
  'GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n';

/** A frame of a server. */
function frame(opcode, payload, { isLast = true, isMasked = false } = {}) {
  const mask = isMasked ? 0x80 : 0;
  const first = (isLast ? 0x80 : 0) | opcode;
  const { length } = payload;
  let head = [first, mask | length];
  if (length > 125) head = [first, mask | 126, length >> 8, length & 0xff];
  if (length > 65535) head = [first, mask | 127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((by) => (length >> by) & 0xff)];
  return Buffer.concat([Buffer.from(head), payload]);
}

/** An app that writes to the socket by itself, and a client that sees each byte. */
async function upgraded() {
  const server = await listening(http.createServer());
  let socket = null;
  server.on('upgrade', (_, taken) => {
    socket = taken;
    taken.on('error', () => {});
  });
  const it = await served(server);
  const client = net.connect(it.port, '127.0.0.1');
  closers.push(() => client.destroy());
  let received = Buffer.alloc(0);
  client.on('data', (piece) => (received = Buffer.concat([received, piece])));
  client.on('error', () => {});
  client.write(ASK);
  await until(() => socket !== null, 'the request');
  return {
    ...it,
    client,
    socket,
    write: (piece) => new Promise((resolve) => socket.write(piece, resolve)),
    /** Wait until the client has received so much, and then what is sent at once. */
    async received(text, ...frames) {
      const expected = Buffer.concat([Buffer.from(text), ...frames]);
      await until(() => received.length >= expected.length, `${expected.length} bytes`);
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
      assert.equal(received.toString('hex'), expected.toString('hex'));
    },
    async drains() {
      it.supervisor.order('drain handoff');
      await it.supervisor.until({ mode: 'handoff' });
    },
  };
}

const CLOSE = Buffer.from(CLOSE_FRAME, 'hex');

test('a message that is under way is sent to its end first', async () => {
  const it = await upgraded();
  await it.write(SWITCHING);
  const text = frame(1, Buffer.alloc(300, 'a'));
  const parts = [
    frame(2, Buffer.alloc(70000, 'b'), { isLast: false }),
    frame(9, Buffer.from('ping')),
    frame(0, Buffer.from('rest')),
  ];
  await it.write(text);
  await it.write(parts[0].subarray(0, 30000));
  await it.drains();
  await it.received(SWITCHING, text, parts[0].subarray(0, 30000));
  await it.write(parts[0].subarray(30000));
  await it.write(parts[1]);
  await it.received(SWITCHING, text, parts[0], parts[1]);
  await it.write(parts[2]);
  await it.received(SWITCHING, text, ...parts, CLOSE);
  await until(() => counted(it) === 0, 'the end of a connection whose client does not answer');
});

test('the answer 101 comes first, however long the app thinks', async () => {
  const it = await upgraded();
  await it.drains();
  await it.received('');
  await it.write(SWITCHING.slice(0, 20));
  await it.received(SWITCHING.slice(0, 20));
  await it.write(SWITCHING.slice(20));
  await it.received(SWITCHING, CLOSE);
});

test('what the app writes in one turn stays together', async () => {
  const it = await upgraded();
  await it.drains();
  const texts = [frame(1, Buffer.from('one')), frame(1, Buffer.from('two'))];
  it.socket.write(SWITCHING);
  for (const text of texts) it.socket.write(text);
  await it.received(SWITCHING, ...texts, CLOSE);
});

test('no frame is written into what is no websocket after all', async () => {
  for (const pieces of [
    ['HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\n', 'half'],
    [SWITCHING, frame(1, Buffer.from('masked'), { isMasked: true })],
    [SWITCHING, frame(3, Buffer.from('unknown'))],
    [SWITCHING, frame(8, Buffer.from([3, 232]))], // the app has closed it
  ]) {
    const it = await upgraded();
    await it.write(pieces[0]);
    await it.write(pieces[1]);
    await it.drains();
    await it.received(pieces[0], Buffer.from(pieces[1]));
    await it.write('more');
    await it.received(pieces[0], Buffer.from(pieces[1]), Buffer.from('more'));
  }
});

test('an undrain leaves the websockets that were not closed yet', async () => {
  const it = await upgraded();
  await it.drains();
  it.supervisor.order('undrain');
  await it.supervisor.until({ mode: 'serving' });
  await it.write(SWITCHING);
  await it.received(SWITCHING);
});

const gone = (it) => until(() => counted(it) === 0, 'the end of the connection');

test('a websocket whose client does not read ends as well', async () => {
  const it = await upgraded();
  await it.write(SWITCHING);
  await it.received(SWITCHING);
  it.client.pause();
  const text = frame(1, Buffer.alloc(1 << 20, 'a'));
  for (let count = 0; count < 20; count += 1) it.socket.write(text);
  await it.drains();
  await gone(it);
});

test('a websocket that the app has closed ends, though its client does not answer', async () => {
  const close = frame(8, Buffer.from([3, 232]));
  for (const closesFirst of [true, false]) {
    const it = await upgraded();
    await it.write(SWITCHING);
    const open = frame(1, Buffer.from('half'), { isLast: false });
    if (closesFirst) await it.write(close);
    else await it.write(open);
    await it.drains();
    if (!closesFirst) await it.write(Buffer.concat([frame(0, Buffer.from('rest')), close]));
    await gone(it);
  }
});

test('a websocket that the app has ended without a close frame ends as well', async () => {
  const it = await upgraded();
  await it.write(SWITCHING);
  it.client.allowHalfOpen = true;
  it.socket.end();
  await it.drains();
  await gone(it);
});

test('a refused upgrade whose client resets, or sends and leaves, is no error', async () => {
  const server = await listening(http.createServer());
  server.on('upgrade', () => assert.fail());
  const it = await served(server, { discardS: 0.2 });
  it.supervisor.order('drain recycle');
  await it.supervisor.until({ mode: 'recycle' });
  for (const leave of [(socket) => socket.resetAndDestroy(), (socket) => socket.end('more'), () => {}]) {
    const client = net.connect({ port: it.port, host: '127.0.0.1', allowHalfOpen: true });
    closers.push(() => client.destroy());
    client.on('error', () => {});
    client.write(`${ASK}early`);
    leave(client);
    await until(() => it.drain.counts().refused > 0, 'the refusal');
    await until(() => counted(it) === 0, 'nothing under way');
  }
});

test('the border between messages is known, however the bytes are cut', () => {
  let state = 7;
  const random = (below) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >>> 8) % below;
  };
  for (let round = 0; round < 100; round += 1) {
    const pieces = [Buffer.from(SWITCHING)];
    const borders = new Set([SWITCHING.length]);
    let at = SWITCHING.length;
    let isInMessage = false;
    for (let count = 0; count < 12; count += 1) {
      const isControl = random(4) === 0;
      const isLast = isControl || random(2) === 0;
      const payload = Buffer.alloc([0, 5, 125, 126, 300, 65536][random(isControl ? 3 : 6)], 0x88);
      pieces.push(frame(isControl ? 9 + random(2) : isInMessage ? 0 : 1 + random(2), payload, { isLast }));
      if (!isControl) isInMessage = !isLast;
      at += pieces.at(-1).length;
      if (!isInMessage) borders.add(at);
    }
    const bytes = Buffer.concat(pieces);
    const frames = new WrittenFrames();
    const ends = [...pieces.map((_, index) => Buffer.concat(pieces.slice(0, index + 1)).length)];
    while (ends.length < 60) ends.push(random(bytes.length));
    let from = 0;
    for (const end of ends.sort((one, other) => one - other)) {
      frames.follow(bytes.subarray(from, end));
      from = end;
      assert.equal(frames.isBetweenMessages, borders.has(end), `round ${round}, byte ${end}`);
    }
  }
});
