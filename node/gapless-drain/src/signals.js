'use strict';
// SIGTERM, SIGINT and PM2's message "shutdown": the process drains first, then it ends.
//
// Node calls every listener of a signal, so the other listeners cannot be held back. If ours
// is the only one, the process ends by the signal when everything is finished. So it does if
// all others act only when they are alone (signal-exit): they saw ours, and left it to us.

const SIGNALS = ['SIGTERM', 'SIGINT'];
// Not listenerCount: Node itself calls it whenever a listener is removed.
const QUESTIONS = ['listeners', 'rawListeners'];

class Signals {
  /** The first signal calls *beginDrain*; the end comes when *isBusy* is false. */
  constructor(beginDrain, isBusy, closeServers, drainTimeoutS) {
    this.beginDrain = beginDrain;
    this.isBusy = isBusy;
    this.closeServers = closeServers;
    this.drainTimeoutS = drainTimeoutS;
    this.pending = null;
    this.timer = null;
    /** The other listeners of the pending signal, and those of them that asked who listens. */
    this.others = 0;
    this.askers = 0;
    this.listeners = new Map(SIGNALS.map((name) => [name, () => this.receive(name)]));
    // Before the others, so that what they ask is seen.
    for (const [name, listener] of this.listeners) process.prependListener(name, listener);
    this.messages = mayBeToldByMessage() ? new ShutdownMessages(() => this.receive('shutdown')) : null;
  }

  receive(name) {
    const isFirst = this.pending === null;
    if (this.pending !== 'shutdown') this.pending = name;
    this.others = process.listenerCount(name) - 1;
    this.askers = 0;
    if (!isFirst) {
      this.end(); // the second one: at once
      return;
    }
    this.beginDrain();
    this.timer = setTimeout(() => this.end(), this.drainTimeoutS * 1000);
    if (name !== 'shutdown') this.countAskers(name);
    this.endIfIdle();
  }

  /** Count which of the other listeners ask, in this turn, who else listens. */
  countAskers(name) {
    for (const question of QUESTIONS) {
      const own = Object.getOwnPropertyDescriptor(process, question);
      const answer = process[question];
      process[question] = (event, ...rest) => {
        if (event === name) this.askers += 1;
        return answer.call(process, event, ...rest);
      };
      process.nextTick(() => {
        delete process[question];
        if (own) Object.defineProperty(process, question, own);
      });
    }
  }

  endIfIdle() {
    if (this.pending !== null && !this.isBusy()) this.end();
  }

  end() {
    const name = this.pending;
    clearTimeout(this.timer);
    this.closeServers();
    this.remove();
    if (name === 'shutdown') process.exit(0);
    // A listener that did not ask has taken the signal on, and is not called again.
    if (this.askers >= this.others) process.kill(process.pid, name);
  }

  remove() {
    for (const [name, listener] of this.listeners) process.removeListener(name, listener);
    if (this.messages !== null) this.messages.remove();
    clearTimeout(this.timer);
  }
}

/** Return whether PM2, or gapless in its place, may send messages. */
function mayBeToldByMessage() {
  const { channel, env, send } = process;
  if (send === undefined || !(env.pm_id || env.GAPLESS_INSTANCE)) return false;
  return !channel || typeof channel.unrefCounted === 'function';
}

/**
 * Listens for "shutdown". Node keeps a process alive while it listens for messages, and keeps
 * messages that come before: both stay as if only the app listened.
 */
class ShutdownMessages {
  constructor(receive) {
    this.early = [];
    this.onMessage = (message, handle) => {
      if (message === 'shutdown') receive();
      else if (process.listenerCount('message') === 1) this.early.push([message, handle]);
    };
    this.onNewListener = (event) => {
      if (event !== 'message' || this.early.length === 0) return;
      process.nextTick(() => {
        for (const [message, handle] of this.early.splice(0)) {
          process.emit('message', message, handle);
        }
      });
    };
    // The app may remove all listeners, and ours with them.
    this.onRemoveListener = (event, listener) => {
      if (event === 'message' && listener === this.onMessage) process.channel?.refCounted?.();
    };
    process.on('removeListener', this.onRemoveListener);
    process.on('message', this.onMessage);
    process.channel?.unrefCounted?.();
    process.on('newListener', this.onNewListener);
  }

  remove() {
    process.removeListener('message', this.onMessage);
    process.removeListener('removeListener', this.onRemoveListener);
    process.removeListener('newListener', this.onNewListener);
  }
}

module.exports = { Signals };
