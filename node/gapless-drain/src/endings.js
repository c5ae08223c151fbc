'use strict';
// How the answers of an app end in a drain, and their connections with them. The app knows
// nothing of it: what it does to an answer that was ended here is as if its client had left.

const ignore = () => {};
// How long a client may take to read the rest of an event stream that was ended.
const UNREAD_MS = 5000;
// Node's own listeners of 'finish': the next answer of a connection, the end of a stream.
const NODE_FINISHES = new Set(['bound resOnFinish', 'bound finishCloseStream']);
const CLOSES = Symbol('whether an answer closes its connection');

/** Return whether an answer is an event stream that has begun; of HTTP/1, HTTP/2 or a stream. */
function isEventStream(answer) {
  if (!answer.headersSent || answer.writableEnded) return false;
  return /^text\/event-stream\b/i.test(contentTypeOf(answer));
}

function contentTypeOf(answer) {
  // Node keeps what is handed to writeHead only in the text that it has sent.
  if (typeof answer._header === 'string') {
    return answer._header.match(/^content-type: *(.*)$/im)?.[1] ?? '';
  }
  const type = answer.sentHeaders?.['content-type'] ?? answer.getHeader?.('content-type');
  return String(type ?? '');
}

/**
 * End an event stream; what the app writes from now on goes nowhere, and is no error.
 *
 * The client receives a whole answer; the app sees what it sees when its client leaves, since
 * only that ends a `pipeline` from a generator: 'close' without 'finish'.
 */
function endEventStream(answer) {
  const { end, emit } = answer;
  end.call(answer); // emits nothing before it returns
  answer.emit = function emitAsIfLeft(event, ...rest) {
    if (event === 'finish') return finishForNode(this);
    if (event === 'close') hideEnd(this);
    return emit.call(this, event, ...rest);
  };
  answer.on('error', ignore); // of what writes past the functions below
  answer.write = function writeNowhere(...rest) {
    callBack(rest);
    return false;
  };
  answer.end = function endNoMore(...rest) {
    callBack(rest);
    return this;
  };
  const timer = setTimeout(() => answer.destroy(), UNREAD_MS);
  timer.unref();
  answer.once('close', () => clearTimeout(timer));
}

/** Call only what Node itself does when an answer has been sent; return whether it did. */
function finishForNode(answer) {
  const own = answer
    .rawListeners('finish')
    .filter((each) => NODE_FINISHES.has((each.listener ?? each).name));
  for (const each of own) each.call(answer);
  return own.length > 0;
}

/** Let an answer that is closed look as if it had not come to its end. */
function hideEnd(answer) {
  for (const name of ['writableEnded', 'writableFinished']) {
    Object.defineProperty(answer, name, { value: false, configurable: true });
  }
  // A stream of HTTP/2; Node's own functions look in here as well.
  const state = answer._writableState;
  if (state) Object.assign(state, { ended: false, finished: false });
}

/** Tell the callback of a write that its client has left. */
function callBack(rest) {
  const callback = rest.find((each) => typeof each === 'function');
  if (callback) process.nextTick(callback, clientHasLeft());
}

/** The error that Node gives a callback whose client has left. */
function clientHasLeft() {
  const error = new Error('Cannot call write after a stream was destroyed');
  error.code = 'ERR_STREAM_DESTROYED';
  return error;
}

/** Let an answer of HTTP/1 close its connection, whatever the app says of it. */
function closeWith(response, request, limitMs) {
  if (response.headersSent || response[CLOSES]) return;
  response[CLOSES] = true;
  // Frameworks may write their own header; Node closes when this one is false.
  response.shouldKeepAlive = false;
  const { writeHead } = response;
  // Every head comes by here, also one that the app does not write itself.
  response.writeHead = function writeHeadWithClose(status, ...rest) {
    if (this.headersSent || status < 200) return writeHead.call(this, status, ...rest);
    const at = typeof rest[0] === 'string' || rest[1] ? 1 : 0;
    if (rest[at]) rest[at] = withClose(rest[at]);
    else this.setHeader('Connection', 'close');
    return writeHead.call(this, status, ...rest);
  };
  lingerUntilRead(response, request, limitMs);
}

/** Return headers of writeHead with `Connection: close`: an object, pairs, or a flat array. */
function withClose(headers) {
  const isOther = (name) => String(name).toLowerCase() !== 'connection';
  if (!Array.isArray(headers)) {
    const others = Object.entries(headers).filter(([name]) => isOther(name));
    return { ...Object.fromEntries(others), Connection: 'close' };
  }
  if (Array.isArray(headers[0])) {
    return [...headers.filter(([name]) => isOther(name)), ['Connection', 'close']];
  }
  if (headers.length % 2 !== 0) return headers; // Node says what is wrong with it
  const others = headers.filter((_, at) => isOther(headers[at - (at % 2)]));
  return [...others, 'Connection', 'close'];
}

/**
 * Let a connection close only when its request has come to its end: what nobody reads
 * resets the connection, and may take the answer from its client (RFC 9112, 9.6).
 */
function lingerUntilRead(response, request, limitMs) {
  const { socket } = request;
  // Not Object.hasOwn: Node 16 has it from 16.9 on.
  if (!socket || Object.prototype.hasOwnProperty.call(socket, 'destroySoon')) return;
  const restore = () => {
    if (socket.destroySoon === destroyAfterRequest) delete socket.destroySoon;
  };
  function destroyAfterRequest() {
    restore();
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
  }
  socket.destroySoon = destroyAfterRequest;
  // It is for this answer alone, should the app keep the connection after all.
  response.once('close', restore);
}

module.exports = { closeWith, endEventStream, isEventStream };
