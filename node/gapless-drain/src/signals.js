'use strict';
// SIGTERM, SIGINT and PM2's message: drain first, then end.
//
// Node calls every listener of a signal, so ours cannot hold the others back. If it is the
// only one, the process ends by the signal when all is finished.

const SIGNALS = ['SIGTERM', 'SIGINT'];

/** Listens for the word to end. */
class Signals {
  constructor(begin, isBusy, close, drainTimeoutS) {
    this.begin = begin;
    this.isBusy = isBusy;
    this.close = close;
    this.drainTimeoutS = drainTimeoutS;
    this.waiting = null;
    this.timer = null;
    this.listeners = new Map(SIGNALS.map((name) => [name, () => this.heard(name)]));
    this.message = (message) => {
      if (message === 'shutdown') this.heard('shutdown');
    };
    for (const [name, listener] of this.listeners) process.on(name, listener);
    if (process.send !== undefined) {
      const isOurs = process.listenerCount('message') === 0;
      process.on('message', this.message);
      // An open channel would keep a process alive that has nothing else to do.
      if (isOurs && process.channel) process.channel.unref();
    }
  }

  heard(name) {
    if (this.waiting !== null) {
      this.end(); // a second time: at once
      return;
    }
    this.waiting = name;
    this.begin();
    this.timer = setTimeout(() => this.end(), this.drainTimeoutS * 1000);
    this.changed();
  }

  /** Look whether all is finished. */
  changed() {
    if (this.waiting !== null && !this.isBusy()) this.end();
  }

  end() {
    const name = this.waiting;
    clearTimeout(this.timer);
    this.close();
    if (name === 'shutdown') {
      this.remove();
      process.exit(0);
    }
    const alone = process.listenerCount(name) === 1;
    this.remove();
    if (alone) process.kill(process.pid, name);
  }

  remove() {
    for (const [name, listener] of this.listeners) process.removeListener(name, listener);
    process.removeListener('message', this.message);
    clearTimeout(this.timer);
  }
}

module.exports = { Signals };
