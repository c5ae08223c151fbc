'use strict';
// The connection to the supervisor (spec/drain.md). It never keeps a process alive.

const net = require('node:net');

const [MAJOR, MINOR] = process.versions.node.split('.').map(Number);
const KNOWS_NAMES = MAJOR > 20 || (MAJOR === 20 && MINOR >= 8);
const RETRY_MS = 1000;
const LONGEST_LINE_CHARS = 65536;

/** Connects one process to its supervisor, and again whenever the connection breaks. */
class SupervisorConnection {
  /**
   * *takeOrder* does what an order says and returns whether the counts are to be sent;
   * *scope* returns what is counted only, null for all that the process owes.
   */
  constructor(environment, library, { takeOrder, counts, scope }) {
    this.scope = scope;
    const { GAPLESS_SOCKET, GAPLESS_SOCKET_PATH } = environment;
    // The same socket by two addresses. Before 20.8 Node cuts an abstract name down to one
    // that anybody may have bound.
    const own = KNOWS_NAMES || !GAPLESS_SOCKET?.startsWith('@') ? GAPLESS_SOCKET : '';
    this.addresses = [own, GAPLESS_SOCKET_PATH].filter(Boolean);
    this.tried = 0;
    this.instance = environment.GAPLESS_INSTANCE;
    this.library = library;
    this.takeOrder = takeOrder;
    this.counts = counts;
    this.socket = null;
    this.retryTimer = null;
    this.isReady = false;
    // What is to be sent as soon as the supervisor reads.
    this.isReadyDue = false;
    this.areCountsDue = false;
    this.isSendScheduled = false;
    this.isClosed = false;
    if (this.addresses.length) this.connect();
  }

  connect() {
    this.retryTimer = null;
    const address = this.addresses[this.tried];
    const path = address.startsWith('@') ? `\0${address.slice(1)}` : address;
    const socket = net.connect({ path });
    socket.unref();
    let partialLine = '';
    socket.setEncoding('utf8');
    socket.on('connect', () => {
      if (this.isClosed) {
        socket.destroy();
        return;
      }
      this.socket = socket;
      this.isReadyDue = this.isReady;
      const { instance, library } = this;
      const scope = this.scope();
      const hello = { hello: 1, instance, pid: process.pid, library };
      this.write(scope === null ? hello : { ...hello, scope });
      this.sendCounts();
    });
    socket.on('drain', () => {
      if (this.isReadyDue || this.areCountsDue) this.sendDue();
    });
    socket.on('data', (piece) => {
      const orders = (partialLine + piece).split('\n');
      partialLine = orders.pop();
      let countsDue = false;
      for (const order of orders) countsDue = this.takeOrder(order.trim()) || countsDue;
      if (countsDue) this.sendCounts();
      if (partialLine.length > LONGEST_LINE_CHARS) socket.destroy();
    });
    socket.on('error', () => {}); // the event 'close' follows
    socket.on('close', () => {
      const wasConnected = this.socket === socket;
      this.socket = null;
      if (this.isClosed) return;
      // At once, since the next supervisor may listen already; then every second.
      if (!wasConnected) this.tried = (this.tried + 1) % this.addresses.length;
      const atOnce = wasConnected || this.tried > 0;
      this.retryTimer = setTimeout(() => this.connect(), atOnce ? 0 : RETRY_MS);
      this.retryTimer.unref();
    });
  }

  write(message) {
    this.socket.write(`${JSON.stringify(message)}\n`);
  }

  sendCounts() {
    this.areCountsDue = true;
    this.sendDue();
  }

  /** Send what is due; it stays due while the supervisor does not read. */
  sendDue() {
    if (this.socket === null || this.socket.writableLength >= LONGEST_LINE_CHARS) return;
    if (this.isReadyDue) this.write({ ready: true });
    this.isReadyDue = false;
    if (this.areCountsDue) this.write(this.counts());
    this.areCountsDue = false;
  }

  /** Send the counts once for all changes of this turn of the event loop. */
  countsChanged() {
    if (this.isSendScheduled || this.socket === null) return;
    this.isSendScheduled = true;
    setImmediate(() => {
      this.isSendScheduled = false;
      this.sendCounts();
    });
  }

  sendReady() {
    this.isReady = true;
    this.isReadyDue = true;
    this.sendDue();
  }

  /** Say hello again: a connection has one hello, so on another connection. */
  scopeChanged() {
    if (this.socket !== null) this.socket.destroy();
  }

  close() {
    this.isClosed = true;
    clearTimeout(this.retryTimer);
    if (this.socket !== null) this.socket.destroy();
  }
}

module.exports = { SupervisorConnection };
