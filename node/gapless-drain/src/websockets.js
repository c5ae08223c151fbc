'use strict';
// A websocket that a drain closes with 1012, service restart (RFC 6455). The app writes to the
// same socket: so what it writes is followed, and the close frame is sent only after the
// answer 101 and between two whole messages. Where that cannot be known, none is sent.

// FIN, close; no mask; 2 bytes: 1012.
const CLOSE_FRAME = Buffer.from([0x88, 0x02, 0x03, 0xf4]);
// How long a client may take to answer a close frame that was sent.
const CLOSE_MS = 1000;
// The same for one that waits behind what the client has not read.
const UNREAD_MS = 5000;
const LONGEST_ANSWER_CHARS = 65536;
const CONTINUATION = 0;
const DATA = [1, 2];
const CLOSE = 8;
const OTHER_CONTROL = [9, 10];

/** Where in the answer and the frames of a server the bytes end that it has written. */
class WrittenFrames {
  constructor() {
    this.answer = ''; // null once it is complete
    this.head = []; // the bytes of a head of which some are to come
    this.leftBytes = 0; // of the frame that has begun
    this.isInMessage = false;
    /** Whether nothing can follow, or nobody knows what. */
    this.isOver = false;
    this.hasCloseFrame = false;
  }

  get isBetweenMessages() {
    const { answer, head, leftBytes, isInMessage, isOver } = this;
    return answer === null && head.length === 0 && leftBytes === 0 && !isInMessage && !isOver;
  }

  /** Follow the bytes that come next. */
  follow(bytes) {
    let at = this.answer === null ? 0 : this.followAnswer(bytes);
    while (at < bytes.length && !this.isOver) {
      if (this.leftBytes > 0) {
        const step = Math.min(this.leftBytes, bytes.length - at);
        this.leftBytes -= step;
        at += step;
      } else {
        this.head.push(bytes[at]);
        at += 1;
        this.followHead();
      }
    }
  }

  /** Return how many of the bytes belong to the answer. */
  followAnswer(bytes) {
    const before = this.answer.length;
    this.answer += bytes.toString('latin1');
    const end = this.answer.indexOf('\r\n\r\n');
    if (end < 0) {
      this.isOver = this.answer.length > LONGEST_ANSWER_CHARS;
      return bytes.length;
    }
    this.isOver = !/^HTTP\/1\.1 101[ \r]/.test(this.answer);
    this.answer = null;
    return end + 4 - before;
  }

  followHead() {
    const { head } = this;
    if (head.length < 2) return;
    const length = head[1] & 0x7f;
    const lengthBytes = length === 126 ? 2 : length === 127 ? 8 : 0;
    if (head.length < 2 + lengthBytes) return;
    const opcode = head[0] & 0x0f;
    const isData = opcode === CONTINUATION || DATA.includes(opcode);
    // A server does not mask; what does is something else.
    const isMasked = head[1] > 0x7f;
    this.hasCloseFrame = !isMasked && opcode === CLOSE;
    this.isOver = isMasked || this.hasCloseFrame || !(isData || OTHER_CONTROL.includes(opcode));
    if (isData) this.isInMessage = head[0] < 0x80;
    this.leftBytes = head.slice(2).reduce((sum, byte) => sum * 256 + byte, 0);
    if (lengthBytes === 0) this.leftBytes = length;
    this.head = [];
  }
}

/** Closes the websocket of a socket, between two messages. */
class Websocket {
  /** *isDraining* says whether it is to be closed. */
  constructor(socket, isDraining) {
    this.socket = socket;
    this.isDraining = isDraining;
    this.frames = new WrittenFrames();
    this.destroyedAt = Infinity;
    this.followWrites();
    socket.once('finish', () => this.closeBetweenMessages()); // the app has ended it
  }

  followWrites() {
    const { frames, socket } = this;
    const { write } = socket;
    const websocket = this;
    socket.write = function followedWrite(piece, encoding) {
      const isTaken = write.apply(this, arguments);
      if (frames.isOver) return isTaken;
      try {
        frames.follow(bytesOf(piece, encoding));
      } catch {
        frames.isOver = true;
      }
      // Not at once: the app may be about to write more of what belongs together.
      if (websocket.isDraining()) setImmediate(() => websocket.closeBetweenMessages());
      return isTaken;
    };
  }

  /** Send the close frame, if it can be sent now; otherwise the next write asks again. */
  closeBetweenMessages() {
    const { frames, socket } = this;
    if (!this.isDraining()) return;
    if (frames.hasCloseFrame || (!frames.isOver && !socket.writable)) {
      this.destroyWithin(UNREAD_MS); // the app has closed it, and its client may never answer
    } else if (frames.isBetweenMessages) {
      socket.on('error', () => {}); // of our own write
      socket.write(CLOSE_FRAME, () => this.destroyWithin(CLOSE_MS));
      this.destroyWithin(UNREAD_MS); // a client that does not read takes no close frame
    }
  }

  /** Destroy the socket after so long; at the earliest time of all calls. */
  destroyWithin(ms) {
    const { socket } = this;
    const at = performance.now() + ms;
    if (socket.destroyed || at >= this.destroyedAt) return;
    this.destroyedAt = at;
    const timer = setTimeout(() => socket.destroy(), ms);
    timer.unref();
    socket.once('close', () => clearTimeout(timer));
  }
}

function bytesOf(piece, encoding) {
  if (typeof piece === 'string') {
    return Buffer.from(piece, typeof encoding === 'string' ? encoding : 'utf8');
  }
  return Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
}

module.exports = { Websocket, WrittenFrames };
