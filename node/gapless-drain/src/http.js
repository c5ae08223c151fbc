'use strict';
// One mechanism for every framework: what a server emits is counted, or refused, before
// any listener of the app hears of it.

const HEADER = 'Gapless-Drain';
const BODY = 'this process is about to end: send the request to another one\n';
// FIN, close; no mask; 2 bytes: 1012, service restart (RFC 6455).
const GOODBYE = Buffer.from([0x88, 0x02, 0x03, 0xf4]);
const GOODBYE_MS = 1000;

const isHttp1 = (request) => request.httpVersionMajor < 2;

const TICKET = Symbol('the ticket of a response');

/** Counts and refuses in front of the listeners of a server. */
class Gate {
  constructor(core, settings, within, now) {
    this.core = core;
    this.settings = settings;
    this.within = within;
    this.now = now;
    this.sockets = new Set();
    const gate = this;
    // One function for all answers: a closure for each would be felt.
    this.closed = function closed() {
      gate.finish(this[TICKET]);
    };
  }

  finish(ticket) {
    const { core } = this;
    core.finish(ticket, core.mode === 'serving' ? 0 : this.now());
  }

  /** Put the gate before a server's listeners; return the server. */
  attach(server) {
    const emit = server.emit;
    const gate = this;
    server.emit = function emitThroughGate(event, first, second, third) {
      // Node has asked for the body already unless the app wants to do that itself.
      if (event === 'request' || event === 'checkContinue') {
        if (!gate.admits(first, second, event === 'checkContinue')) return true;
        return gate.within.run(second[TICKET], emitted, this, event, first, second);
      }
      if (event === 'upgrade') {
        return gate.upgrade(first, second, () =>
          emit.call(this, event, first, second, third),
        );
      }
      return emit.apply(this, arguments);
    };
    function emitted(self, event, first, second) {
      return emit.call(self, event, first, second);
    }
    return server;
  }

  /** Wrap one (request, response) function. */
  listener(serve) {
    return (request, response) =>
      this.admits(request, response, false)
        ? this.within.run(response[TICKET], serve, request, response)
        : undefined;
  }

  /** Count a request; tell whether the app is to serve it. What is not is refused. */
  admits(request, response, isBodyWanted) {
    const { core, settings } = this;
    // A request with Expect is emitted again when its body is asked for.
    if (response[TICKET] !== undefined) return true;
    if (core.mode !== 'serving' && this.isHealth(request)) {
      this.answer(request, response, settings.healthStatus);
      return false;
    }
    const ticket = core.admit(request, this.now());
    response[TICKET] = ticket;
    response.on('close', this.closed);
    if (!ticket.admitted) {
      if (isBodyWanted) response.writeContinue();
      this.refuse(request, response);
      return false;
    }
    ticket.response = response;
    if (core.isDraining) this.closing(request, response);
    return true;
  }

  isHealth(request) {
    const leaves = this.core.mode === 'leaving' || this.core.mode === 'recycle';
    const path = this.settings.healthPath;
    return leaves && path !== null && request.url.split('?', 1)[0] === path;
  }

  refuse(request, response) {
    let left = this.settings.discardBytes;
    const done = () => {
      clearTimeout(timer);
      request.removeListener('data', count);
      request.resume();
      this.answer(request, response, this.settings.status);
    };
    const count = (piece) => {
      left -= piece.length;
      if (left < 0) done();
    };
    const timer = setTimeout(done, this.settings.discardS * 1000);
    timer.unref();
    request.on('data', count);
    request.once('end', done);
    request.once('error', () => clearTimeout(timer));
    response.once('close', () => clearTimeout(timer));
  }

  answer(request, response, status) {
    if (response.headersSent || response.destroyed) return;
    response.statusCode = status;
    response.setHeader('Content-Type', 'text/plain; charset=utf-8');
    response.setHeader('Content-Length', Buffer.byteLength(BODY));
    response.setHeader('Retry-After', String(this.settings.retryAfterS));
    response.setHeader('Cache-Control', 'no-store');
    response.setHeader(HEADER, this.core.mode);
    if (isHttp1(request)) response.setHeader('Connection', 'close');
    response.end(request.method === 'HEAD' ? undefined : BODY);
  }

  /** Let the connection end with this answer. */
  closing(request, response) {
    if (!isHttp1(request) || response.headersSent) return;
    // Frameworks may write their own header; Node closes when this one is false.
    response.shouldKeepAlive = false;
    response.setHeader('Connection', 'close');
  }

  upgrade(request, socket, serve) {
    const { core } = this;
    const ticket = core.admit(request, this.now());
    socket.once('close', () => {
      this.sockets.delete(socket);
      core.finish(ticket, this.now());
    });
    if (!ticket.admitted) {
      const { status, retryAfterS } = this.settings;
      socket.end(
        `HTTP/1.1 ${status} Service Unavailable\r\nConnection: close\r\n` +
          `Retry-After: ${retryAfterS}\r\n${HEADER}: ${core.mode}\r\n` +
          `Content-Length: ${Buffer.byteLength(BODY)}\r\n\r\n${BODY}`,
      );
      return true;
    }
    if (!/^websocket$/i.test(request.headers.upgrade || '')) {
      return this.within.run(ticket, serve); // no protocol that we could say goodbye in
    }
    this.sockets.add(socket);
    if (core.isDraining) setImmediate(() => this.sayGoodbye(socket));
    return this.within.run(ticket, serve);
  }

  /** A drain has begun: end what would never end by itself, close the rest later. */
  drain() {
    for (const socket of this.sockets) this.sayGoodbye(socket);
    for (const { response } of this.core.requests) {
      if (!response) continue; // a websocket, or one that is being refused
      const kind = response.getHeader('content-type') || '';
      if (String(kind).startsWith('text/event-stream') && response.headersSent) {
        response.end();
      } else {
        this.closing(response.req, response);
      }
    }
  }

  sayGoodbye(socket) {
    if (socket.destroyed) return;
    socket.write(GOODBYE);
    const timer = setTimeout(() => socket.destroy(), GOODBYE_MS);
    timer.unref();
    socket.once('close', () => clearTimeout(timer));
  }
}

module.exports = { Gate, HEADER };
