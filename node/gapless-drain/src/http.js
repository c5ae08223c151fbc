'use strict';
// The same for every framework: the events of a server are intercepted, so that a request is
// counted, or refused, before any listener of the app is called.

const HEADER = 'Gapless-Drain';
const BODY = 'this process is about to end: send the request to another one\n';
// FIN, close; no mask; 2 bytes: 1012, service restart (RFC 6455).
const CLOSE_FRAME = Buffer.from([0x88, 0x02, 0x03, 0xf4]);
const CLOSE_MS = 1000;

const isHttp1 = (request) => request.httpVersionMajor < 2;

const ACTIVITY = Symbol('the activity of a response');

/** Counts and refuses requests before the listeners of a server are called. */
class HttpInterceptor {
  /** *current*: an AsyncLocalStorage of activities; *now* returns seconds. */
  constructor(core, settings, current, now) {
    this.core = core;
    this.settings = settings;
    this.current = current;
    this.now = now;
    this.websockets = new Set();
    const self = this;
    // One function for all answers: a closure for each would cost measurable time.
    this.onClose = function onClose() {
      self.finish(this[ACTIVITY]);
    };
  }

  finish(activity) {
    const { core } = this;
    core.finish(activity, core.mode === 'serving' ? 0 : this.now());
  }

  /** Intercept the events of a server; return the server. */
  attach(server) {
    const emit = server.emit;
    const self = this;
    server.emit = function interceptedEmit(event, first, second, third) {
      // Node asks for the body itself, unless the app listens for 'checkContinue'.
      if (event === 'request' || event === 'checkContinue') {
        if (!self.admitOrRefuse(first, second, event === 'checkContinue')) return true;
        return self.current.run(second[ACTIVITY], callEmit, this, event, first, second);
      }
      if (event === 'upgrade') {
        return self.upgrade(first, second, () =>
          emit.call(this, event, first, second, third),
        );
      }
      return emit.apply(this, arguments);
    };
    function callEmit(emitter, event, first, second) {
      return emit.call(emitter, event, first, second);
    }
    return server;
  }

  /** Wrap one (request, response) function. */
  listener(serve) {
    return (request, response) =>
      this.admitOrRefuse(request, response, false)
        ? this.current.run(response[ACTIVITY], serve, request, response)
        : undefined;
  }

  /** Count a request; return whether the app is to serve it. If not, it is refused. */
  admitOrRefuse(request, response, expectsContinue) {
    const { core, settings } = this;
    // A request with Expect is emitted again when the app asks for its body.
    if (response[ACTIVITY] !== undefined) return true;
    if (core.isUnhealthy && this.isHealthPath(request)) {
      this.answer(request, response, settings.healthStatus);
      return false;
    }
    const activity = core.admit(request, this.now());
    response[ACTIVITY] = activity;
    response.on('close', this.onClose);
    if (!activity.admitted) {
      if (expectsContinue) response.writeContinue();
      this.refuse(request, response);
      return false;
    }
    activity.response = response;
    if (core.isDraining) this.closeConnectionAfter(request, response);
    return true;
  }

  isHealthPath(request) {
    const path = this.settings.healthPath;
    return path !== null && request.url.split('?', 1)[0] === path;
  }

  /** Refuse a request, once its body was read and thrown away, up to the limits. */
  refuse(request, response) {
    let leftBytes = this.settings.discardBytes;
    const done = () => {
      clearTimeout(timer);
      request.removeListener('data', count);
      request.resume();
      this.answer(request, response, this.settings.status);
    };
    const count = (piece) => {
      leftBytes -= piece.length;
      if (leftBytes < 0) done();
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

  closeConnectionAfter(request, response) {
    if (!isHttp1(request) || response.headersSent) return;
    // Frameworks may write their own header; Node closes when this one is false.
    response.shouldKeepAlive = false;
    response.setHeader('Connection', 'close');
    this.lingerUntilRead(request);
  }

  /**
   * Let a connection close only when its request has come to its end: what nobody reads
   * resets the connection, and may take the answer from its client (RFC 9112, 9.6).
   */
  lingerUntilRead(request) {
    const { socket } = request;
    if (Object.hasOwn(socket, 'destroySoon')) return;
    const limitMs = this.settings.discardS * 1000;
    socket.destroySoon = function destroyAfterRequest() {
      delete socket.destroySoon;
      if (request.complete || socket.destroyed) {
        socket.destroySoon();
        return;
      }
      socket.end(); // the client sees the end of the answer
      const close = () => socket.destroySoon();
      const timer = setTimeout(close, limitMs);
      timer.unref();
      socket.once('close', () => clearTimeout(timer));
      request.once('end', close);
      request.resume();
    };
  }

  upgrade(request, socket, serve) {
    const { core } = this;
    const activity = core.admit(request, this.now());
    socket.once('close', () => {
      this.websockets.delete(socket);
      core.finish(activity, this.now());
    });
    if (!activity.admitted) {
      const { status, retryAfterS } = this.settings;
      socket.end(
        `HTTP/1.1 ${status} Service Unavailable\r\nConnection: close\r\n` +
          `Retry-After: ${retryAfterS}\r\n${HEADER}: ${core.mode}\r\n` +
          `Content-Length: ${Buffer.byteLength(BODY)}\r\n\r\n${BODY}`,
      );
      return true;
    }
    if (!/^websocket$/i.test(request.headers.upgrade || '')) {
      return this.current.run(activity, serve); // only websockets have a close frame
    }
    this.websockets.add(socket);
    if (core.isDraining) setImmediate(() => this.closeWebsocket(socket));
    return this.current.run(activity, serve);
  }

  /** A drain has begun: end websockets and event streams, close other connections later. */
  drain() {
    for (const socket of this.websockets) this.closeWebsocket(socket);
    for (const { response } of this.core.requests) {
      if (!response) continue; // a websocket, or a request that is being refused
      const kind = response.getHeader('content-type') || '';
      if (String(kind).startsWith('text/event-stream') && response.headersSent) {
        response.end();
      } else {
        this.closeConnectionAfter(response.req, response);
      }
    }
  }

  closeWebsocket(socket) {
    if (socket.destroyed) return;
    socket.write(CLOSE_FRAME);
    const timer = setTimeout(() => socket.destroy(), CLOSE_MS);
    timer.unref();
    socket.once('close', () => clearTimeout(timer));
  }
}

module.exports = { HttpInterceptor };
