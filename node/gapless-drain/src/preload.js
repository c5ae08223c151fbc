'use strict';
// For programs that use no library: `node --require` loads this before them. Their
// servers speak the drain protocol (spec/drain.md) then: while the process drains, each
// answer closes its connection in good order.
//
// Rule 1: a program never notices: nothing is printed, nothing keeps it alive, and
// nothing is thrown into it.
// Rule 2: what does not serve HTTP pays for the reading of this file alone.
// Rule 3: a program that uses the library itself counts by itself.

const path = require('node:path');

const LIBRARY = 'gapless-preload 0.1.0 (node)';
const STATE = Symbol.for('gapless.preload');
// Programs that start the app, and serve nothing themselves.
const RUNNERS = /^(npm|npx|pnpm|pnpx|yarn|yarnpkg|corepack)(-cli|-[\d.]+)?(\.[cm]?js)?$/;

const isRunner = () => RUNNERS.test(path.basename(process.argv[1] || ''));

/** Count and refuse in front of each server of the process, for the supervisor. */
function openGate() {
  const { Core } = require('./core.js');
  const { Gate } = require('./http.js');
  const { Line } = require('./line.js');
  const { DEFAULTS } = require('./settings.js');
  const now = () => performance.now() / 1000;
  const core = new Core(() => line.changed());
  // Nobody here asks within what he runs.
  const within = { run: (ticket, work, ...rest) => work(...rest) };
  const gate = new Gate(core, DEFAULTS, within, now);
  const line = new Line(process.env, LIBRARY, {
    ordered: (order) => {
      const wasDraining = core.isDraining;
      const tell = core.order(order);
      if (core.isDraining && !wasDraining) gate.drain();
      return tell;
    },
    counts: () => core.counts(now()),
    hello: { scope: 'http' }, // what else the process owes, the kernel is asked
  });
  return { gate, line };
}

/** Find the servers of the process as they begin to listen. */
function watchServers() {
  const net = require('node:net');
  const { listen } = net.Server.prototype;
  const attached = new Map();
  let open = null;
  let stoodDown = false;

  function attach(server) {
    // Of all servers only those of HTTP have this; https is loaded only by who needs it.
    if (stoodDown || attached.has(server) || server.headersTimeout === undefined) return;
    open = open || openGate();
    open.gate.attach(server);
    attached.set(server, server.emit);
  }

  net.Server.prototype.listen = function listenBehindGate(...rest) {
    try {
      attach(this);
    } catch {
      // It serves without us.
    }
    return listen.apply(this, rest);
  };
  Object.defineProperty(net.Server.prototype.listen, 'name', { value: listen.name });

  return {
    /** Leave everything to the library. */
    standDown() {
      stoodDown = true;
      net.Server.prototype.listen = listen;
      for (const [server, emit] of attached) {
        if (server.emit === emit) delete server.emit;
      }
      attached.clear();
      if (open !== null) open.line.close();
    },
  };
}

/** Give the program Node's channel, which the runner between us would have kept. */
function openChannel(fd) {
  const fs = require('node:fs');
  try {
    if (!fs.fstatSync(fd).isSocket()) return;
  } catch {
    return; // it was closed on the way
  }
  const say = (message, ...rest) => {
    const done = rest.find((each) => typeof each === 'function');
    try {
      fs.writeSync(fd, `${JSON.stringify(message)}\n`);
      if (done) process.nextTick(done, null);
      return true;
    } catch (error) {
      if (done) process.nextTick(done, error);
      return false;
    }
  };
  const hear = (event) => {
    if (event !== 'message') return;
    process.removeListener('newListener', hear);
    const net = require('node:net');
    const socket = new net.Socket({ fd, readable: true, writable: false });
    let heard = '';
    socket.setEncoding('utf8');
    socket.on('error', () => {});
    socket.on('data', (piece) => {
      const lines = (heard + piece).split('\n');
      heard = lines.pop();
      for (const line of lines) {
        try {
          process.emit('message', JSON.parse(line), undefined);
        } catch (error) {
          if (!(error instanceof SyntaxError)) throw error;
        }
      }
    });
    socket.unref();
  };
  process.send = say;
  process.connected = true;
  process.disconnect = () => {
    process.connected = false;
  };
  process.on('newListener', hear);
}

function main() {
  const { env } = process;
  if (!env.GAPLESS_SOCKET || !env.GAPLESS_INSTANCE || globalThis[STATE]) return;
  if (isRunner() || typeof performance === 'undefined') return; // Node before 16
  const channel = Number(env.GAPLESS_CHANNEL_FD);
  delete env.GAPLESS_CHANNEL_FD; // what the program starts does not speak for it
  if (channel > 2 && process.send === undefined) openChannel(channel);
  Object.defineProperty(globalThis, STATE, { value: watchServers() });
}

try {
  main();
} catch {
  // The program runs as it would have without us.
}
