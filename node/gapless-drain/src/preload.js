'use strict';
// For programs that do not use the library: `node --require` loads this before them. Then
// their servers follow the drain protocol (spec/drain.md): while the process drains, each
// answer closes its connection in good order.
//
// Rule 1: a program does not notice it: nothing is printed, nothing keeps the process alive,
// and no error reaches the program. One exception: rejections.js, which is asked for.
// Rule 2: a program that does not serve HTTP only pays for reading this file.
// Rule 3: a program that hands its servers to the library is left to the library.

const path = require('node:path');

const LIBRARY = 'gapless-preload 0.1.0 (node)';
const STATE = Symbol.for('gapless.preload');
// Programs that start the app and serve nothing themselves.
const RUNNERS = /^(npm|npx|pnpm|pnpx|yarn|yarnpkg|corepack)(-cli|-[\d.]+)?(\.[cm]?js)?$/;

const isRunner = () => RUNNERS.test(path.basename(process.argv[1] || ''));

/** Connect to the supervisor, and make what intercepts the servers of the process. */
function connect() {
  const { Core } = require('./core.js');
  const { HttpInterceptor } = require('./http.js');
  const { SupervisorConnection } = require('./connection.js');
  const { DEFAULTS } = require('./settings.js');
  const now = () => performance.now() / 1000;
  const core = new Core(() => connection.countsChanged());
  // No procedure begins here, so it need not be known what is current.
  const current = { run: (activity, work, ...rest) => work(...rest) };
  const interceptor = new HttpInterceptor(core, DEFAULTS, current, now);
  const connection = new SupervisorConnection(process.env, LIBRARY, {
    takeOrder: (order) => {
      const wasDraining = core.isDraining;
      const countsDue = core.takeOrder(order);
      if (core.isDraining && !wasDraining) interceptor.drain();
      return countsDue;
    },
    counts: () => core.counts(now()),
    // The supervisor asks the kernel for everything else that the process owes.
    scope: () => 'http',
  });
  return { interceptor, connection };
}

/** Intercept the servers of the process when they begin to listen. */
function watchServers() {
  const net = require('node:net');
  const { listen } = net.Server.prototype;
  const attached = new Map();
  let connected = null;
  let hasStoodDown = false;

  function attach(server) {
    // Only servers of HTTP have headersTimeout. So https need not be loaded here.
    if (hasStoodDown || attached.has(server) || server.headersTimeout === undefined) return;
    connected = connected || connect();
    connected.interceptor.attach(server);
    attached.set(server, server.emit);
  }

  net.Server.prototype.listen = function interceptedListen(...rest) {
    try {
      attach(this);
    } catch {
      // It serves, but is not counted.
    }
    return listen.apply(this, rest);
  };
  Object.defineProperty(net.Server.prototype.listen, 'name', { value: listen.name });

  return {
    /** Leave everything to the library. */
    standDown() {
      hasStoodDown = true;
      net.Server.prototype.listen = listen;
      for (const [server, emit] of attached) {
        if (server.emit === emit) delete server.emit;
      }
      attached.clear();
      if (connected !== null) connected.connection.close();
    },
  };
}

/** Give the program Node's IPC channel, which the runner in between did not pass on. */
function openChannel(fd) {
  const fs = require('node:fs');
  try {
    if (!fs.fstatSync(fd).isSocket()) return;
  } catch {
    return; // a program in between has closed it
  }
  const send = (message, ...rest) => {
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
  // The channel is read only once the program listens for messages.
  const receiveFromFirstListener = (event) => {
    if (event !== 'message') return;
    process.removeListener('newListener', receiveFromFirstListener);
    const net = require('node:net');
    const socket = new net.Socket({ fd, readable: true, writable: false });
    let partialLine = '';
    socket.setEncoding('utf8');
    socket.on('error', () => {});
    socket.on('data', (piece) => {
      const lines = (partialLine + piece).split('\n');
      partialLine = lines.pop();
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
  process.send = send;
  process.connected = true;
  process.disconnect = () => {
    process.connected = false;
  };
  process.on('newListener', receiveFromFirstListener);
}

function main() {
  const { env } = process;
  const survives = env.GAPLESS_UNHANDLED_REJECTIONS === 'log';
  delete env.GAPLESS_UNHANDLED_REJECTIONS; // as under PM2: not for what the program starts
  if (!env.GAPLESS_SOCKET || !env.GAPLESS_INSTANCE || globalThis[STATE]) return;
  if (isRunner() || typeof performance === 'undefined') return; // Node before 16
  const channelFd = Number(env.GAPLESS_CHANNEL_FD);
  delete env.GAPLESS_CHANNEL_FD; // the channel is not for the children of the program
  if (channelFd > 2 && process.send === undefined) openChannel(channelFd);
  if (survives) require('./rejections.js').logRejections(process);
  Object.defineProperty(globalThis, STATE, { value: watchServers() });
}

try {
  main();
} catch {
  // The program runs as it would without this file.
}
