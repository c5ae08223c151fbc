'use strict';
// The same for every framework: the events of a server are intercepted, so that a request is
// counted, or refused, before any listener of the app is called.

const { closeWith, endEventStream, isEventStream } = require('./endings.js');
const { Websocket } = require('./websockets.js');

const HEADER = 'Gapless-Drain';
const BODY = 'this process is about to end: send the request to another one\n';

const ignore = () => {};
const isHttp1 = (request) => request.httpVersionMajor < 2;

const ACTIVITY = Symbol('the activity of an answer');
// What Node emits for a request, each with the request and the answer.
const REQUESTS = new Set(['request', 'checkContinue', 'checkExpectation']);
// The same with the socket.
const UPGRADES = new Set(['upgrade', 'connect']);

/** Counts and refuses requests before the listeners of a server are called. */
class HttpInterceptor {
  /** *current*: an AsyncLocalStorage of activities; *now* returns seconds. */
  constructor(core, settings, current, now) {
    this.core = core;
    this.settings = settings;
    this.current = current;
    this.now = now;
    this.websockets = new Map(); // by their sockets
    this.UNDER_WAY = Symbol('the activities of a socket');
    const self = this;
    // One function for all answers: a closure for each would cost measurable time.
    this.onClose = function onClose() {
      self.finish(this[ACTIVITY]);
    };
    this.onSocketClose = function onSocketClose() {
      for (const activity of this[self.UNDER_WAY]) self.finish(activity);
    };
  }

  finish(activity) {
    const { core } = this;
    activity.siblings?.delete(activity);
    core.finish(activity, core.mode === 'serving' ? 0 : this.now());
  }

  /** Intercept the events of a server; return the server. */
  attach(server) {
    const emit = server.emit;
    const self = this;
    server.emit = function interceptedEmit(event, first, second, third, fourth) {
      let answer = null;
      // Node asks for the body itself, unless the app listens for 'checkContinue'.
      if (REQUESTS.has(event) || (event === 'connect' && first && !isHttp1(first))) {
        if (!self.admitOrRefuse(first, second, event === 'checkContinue')) return true;
        answer = second;
      } else if (UPGRADES.has(event)) {
        if (!self.admitUpgrade(first, second)) return true;
        answer = second;
      } else if (event === 'stream' && typeof first?.respond === 'function') {
        if (!self.admitStream(first, second, fourth)) return true;
        answer = first;
      } else {
        return emit.apply(this, arguments);
      }
      return self.current.run(answer[ACTIVITY], callEmit, this, arguments);
    };
    function callEmit(emitter, rest) {
      return emit.apply(emitter, rest);
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
    const ofStream = request.stream?.[ACTIVITY];
    if (ofStream !== undefined) {
      response[ACTIVITY] = ofStream;
      ofStream.response = response;
      return true;
    }
    if (core.isUnhealthy && this.isHealthPath(request)) {
      this.answer(request, response, settings.healthStatus);
      return false;
    }
    const activity = this.admit(request, response);
    if (!activity.admitted) {
      if (expectsContinue) response.writeContinue();
      this.refuse(request, response);
      return false;
    }
    activity.response = response;
    if (core.isDraining) this.closeConnectionAfter(request, response);
    return true;
  }

  /** Count a request until its answer, or its connection, is closed. */
  admit(request, answer) {
    const activity = this.core.admit(request, this.now());
    answer[ACTIVITY] = activity;
    const { socket } = request;
    if (answer.destroyed || answer.stream?.destroyed || socket?.destroyed) {
      this.finish(activity); // 'close' was emitted already
      return activity;
    }
    answer.on('close', this.onClose);
    // Node never closes an answer that still waits behind another one of its connection.
    if (socket && isHttp1(request)) {
      const { UNDER_WAY } = this;
      if (socket[UNDER_WAY] === undefined) {
        socket[UNDER_WAY] = new Set();
        socket.on('close', this.onSocketClose);
      }
      activity.siblings = socket[UNDER_WAY];
      activity.siblings.add(activity);
    }
    return activity;
  }

  /** The same for a stream of HTTP/2; the request that it may be made to is counted with it. */
  admitStream(stream, headers, rawHeaders) {
    if (stream[ACTIVITY] !== undefined) return true;
    const { core } = this;
    const source = { method: headers[':method'], url: headers[':path'], httpVersionMajor: 2 };
    if (core.mode === 'recycle' || (core.isUnhealthy && this.isHealthPath(source))) {
      const { Http2ServerRequest, Http2ServerResponse } = require('node:http2');
      const request = new Http2ServerRequest(stream, headers, {}, rawHeaders);
      const response = new Http2ServerResponse(stream);
      return this.admitOrRefuse(request, response, headers.expect === '100-continue');
    }
    this.admit(source, stream).response = stream;
    return true;
  }

  isHealthPath(request) {
    const path = this.settings.healthPath;
    return path !== null && String(request.url).split('?', 1)[0] === path;
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
    request.on('error', () => clearTimeout(timer));
    response.once('close', () => clearTimeout(timer));
  }

  answer(request, response, status) {
    if (response.headersSent || response.destroyed || response.stream?.destroyed) return;
    response.on('error', ignore);
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
    if (isHttp1(request)) closeWith(response, request, this.settings.discardS * 1000);
  }

  /** Count what takes over its socket; return whether the app is to serve it. */
  admitUpgrade(request, socket) {
    const { core } = this;
    if (socket[ACTIVITY] !== undefined) return true;
    const activity = core.admit(request, this.now());
    socket[ACTIVITY] = activity;
    if (socket.destroyed) this.finish(activity);
    socket.on('close', this.onClose);
    if (!activity.admitted) {
      this.refuseUpgrade(socket);
      return false;
    }
    // Only websockets have a close frame.
    if (/^websocket$/i.test(request.headers.upgrade || '')) {
      this.websockets.set(socket, new Websocket(socket, () => core.isDraining));
      socket.on('close', () => this.websockets.delete(socket));
    }
    return true;
  }

  refuseUpgrade(socket) {
    const { status, retryAfterS, discardS } = this.settings;
    // Nobody else listens, and nobody else reads: its end would not be seen.
    socket.on('error', ignore);
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), discardS * 1000);
    timer.unref();
    socket.once('close', () => clearTimeout(timer));
    socket.end(
      `HTTP/1.1 ${status} Service Unavailable\r\nConnection: close\r\n` +
        `Retry-After: ${retryAfterS}\r\n${HEADER}: ${this.core.mode}\r\n` +
        `Content-Length: ${Buffer.byteLength(BODY)}\r\n\r\n${BODY}`,
    );
  }

  /** A drain has begun: end websockets and event streams, close other connections later. */
  drain() {
    for (const websocket of this.websockets.values()) websocket.closeBetweenMessages();
    for (const activity of this.core.requests) {
      const { response, siblings } = activity;
      if (!response) continue; // a websocket, or a request that is being refused
      try {
        if (isEventStream(response)) endEventStream(response);
        // Not before the answers to what the client has sent after it.
        else if (!siblings || activity === [...siblings].pop()) {
          this.closeConnectionAfter(activity.nameSource, response);
        }
      } catch {
        // What an app has made of its answer may throw: it ends as the app ends it.
      }
    }
  }
}

module.exports = { HttpInterceptor };
