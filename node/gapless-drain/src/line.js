'use strict';
// The line to the supervisor (spec/drain.md). It never keeps a process alive.

const net = require('node:net');

const RETRY_MS = 1000;
const LONGEST_LINE = 65536;

/** Connects one process to its supervisor, and again when the line broke. */
class Line {
  constructor(environment, library, { ordered, counts, hello = {} }) {
    this.hello = hello;
    this.address = environment.GAPLESS_SOCKET;
    this.instance = environment.GAPLESS_INSTANCE;
    this.library = library;
    this.ordered = ordered;
    this.counts = counts;
    this.socket = null;
    this.retry = null;
    this.isReady = false;
    this.isTold = true; // that it is ready
    this.isCounted = true; // what it has to tell of its counts
    this.willTell = false;
    this.closed = false;
    this.connect();
  }

  connect() {
    this.retry = null;
    const name = this.address;
    const path = name.startsWith('@') ? `\0${name.slice(1)}` : name;
    const socket = net.connect({ path });
    socket.unref();
    let heard = '';
    socket.setEncoding('utf8');
    socket.on('connect', () => {
      if (this.closed) {
        socket.destroy();
        return;
      }
      this.socket = socket;
      this.isTold = !this.isReady;
      this.send({
        hello: 1,
        instance: this.instance,
        pid: process.pid,
        library: this.library,
        ...this.hello,
      });
      this.tell();
    });
    socket.on('drain', () => {
      if (!this.isTold || !this.isCounted) this.say();
    });
    socket.on('data', (piece) => {
      const lines = (heard + piece).split('\n');
      heard = lines.pop();
      let tell = false;
      for (const line of lines) tell = this.ordered(line.trim()) || tell;
      if (tell) this.tell();
      if (heard.length > LONGEST_LINE) socket.destroy();
    });
    socket.on('error', () => {}); // its close follows
    socket.on('close', () => {
      const wasConnected = this.socket === socket;
      this.socket = null;
      if (this.closed) return;
      // The next supervisor may be there already; later, each second.
      this.retry = setTimeout(() => this.connect(), wasConnected ? 0 : RETRY_MS);
      this.retry.unref();
    });
  }

  send(message) {
    this.socket.write(`${JSON.stringify(message)}\n`);
  }

  tell() {
    this.isCounted = false;
    this.say();
  }

  /** Say what there is to say; what the supervisor does not read is said when it does. */
  say() {
    if (this.socket === null || this.socket.writableLength >= LONGEST_LINE) return;
    if (!this.isTold) this.send({ ready: true });
    this.isTold = true;
    if (!this.isCounted) this.send(this.counts());
    this.isCounted = true;
  }

  /** Let the counts be told, once for all changes of this turn of the loop. */
  changed() {
    if (this.willTell || this.socket === null) return;
    this.willTell = true;
    setImmediate(() => {
      this.willTell = false;
      this.tell();
    });
  }

  ready() {
    this.isReady = true;
    this.isTold = false;
    this.say();
  }

  close() {
    this.closed = true;
    clearTimeout(this.retry);
    if (this.socket !== null) this.socket.destroy();
  }
}

module.exports = { Line };
