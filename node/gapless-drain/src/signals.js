'use strict';
// SIGTERM, SIGINT and PM2's message "shutdown": the process drains first, then it ends.
//
// Node calls every listener of a signal, so the other listeners cannot be held back. If ours
// is the only one, the process ends by the signal when everything is finished.

const SIGNALS = ['SIGTERM', 'SIGINT'];

class Signals {
  /** The first signal calls *beginDrain*; the end comes when *isBusy* is false. */
  constructor(beginDrain, isBusy, closeServers, drainTimeoutS) {
    this.beginDrain = beginDrain;
    this.isBusy = isBusy;
    this.closeServers = closeServers;
    this.drainTimeoutS = drainTimeoutS;
    this.pending = null;
    this.timer = null;
    this.listeners = new Map(SIGNALS.map((name) => [name, () => this.receive(name)]));
    this.onMessage = (message) => {
      if (message === 'shutdown') this.receive('shutdown');
    };
    for (const [name, listener] of this.listeners) process.on(name, listener);
    if (process.send !== undefined) {
      const isOnlyListener = process.listenerCount('message') === 0;
      process.on('message', this.onMessage);
      // An open channel would keep a process alive that has nothing else to do.
      if (isOnlyListener && process.channel) process.channel.unref();
    }
  }

  receive(name) {
    if (this.pending !== null) {
      this.end(); // the second one: at once
      return;
    }
    this.pending = name;
    this.beginDrain();
    this.timer = setTimeout(() => this.end(), this.drainTimeoutS * 1000);
    this.endIfIdle();
  }

  endIfIdle() {
    if (this.pending !== null && !this.isBusy()) this.end();
  }

  end() {
    const name = this.pending;
    clearTimeout(this.timer);
    this.closeServers();
    if (name === 'shutdown') {
      this.remove();
      process.exit(0);
    }
    const isOnlyListener = process.listenerCount(name) === 1;
    this.remove();
    if (isOnlyListener) process.kill(process.pid, name);
  }

  remove() {
    for (const [name, listener] of this.listeners) process.removeListener(name, listener);
    process.removeListener('message', this.onMessage);
    clearTimeout(this.timer);
  }
}

module.exports = { Signals };
