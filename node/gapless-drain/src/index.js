'use strict';
// Counts what is under way in a web app; in a drain, refuses what is new and lets it end.

const { AsyncLocalStorage } = require('node:async_hooks');
const { SupervisorConnection } = require('./connection.js');
const { Core, Draining } = require('./core.js');
const { HttpInterceptor } = require('./http.js');
const { DEFAULTS } = require('./settings.js');
const { Signals } = require('./signals.js');

const LIBRARY = 'gapless-drain 0.1.0 (node)';
const now = () => performance.now() / 1000;

/** What is under way in this process, and the order from outside to finish it. */
class Drain {
  #core;
  #http;
  #connection = null;
  #signals = null;
  #current = new AsyncLocalStorage();
  #abort = new AbortController();
  #servers = new Set();
  #countsRequests = false;
  #resolveBegun = [];
  #databases = null;
  #leadTimer = null;

  constructor(options = {}) {
    const { environment = process.env, ...own } = options;
    const unknown = Object.keys(own).filter((name) => !(name in DEFAULTS));
    if (unknown.length > 0) throw new TypeError(`unknown option: ${unknown.join(', ')}`);
    const settings = { ...DEFAULTS, ...own };
    this.#core = new Core(() => this.#countsChanged());
    this.#http = new HttpInterceptor(this.#core, settings, this.#current, now);
    if (environment.GAPLESS_SOCKET && environment.GAPLESS_INSTANCE) {
      this.#connection = new SupervisorConnection(environment, LIBRARY, {
        takeOrder: (order) => this.#takeOrder(order),
        counts: () => this.counts(),
        scope: () => (this.#countsRequests ? null : 'procedures'),
      });
    }
    if (settings.onSignal !== null) {
      this.#signals = new Signals(
        () => this.#beginDrainBySignal(settings),
        () => this.#leadTimer !== null || !this.#core.isDrained,
        () => this.#closeServers(),
        settings.drainTimeoutS,
      );
    }
  }

  /** Count and refuse requests in front of a server of any framework; return the server. */
  attach(server) {
    this.#countRequests();
    this.#servers.add(server);
    return this.#http.attach(server);
  }

  /** Wrap one (request, response) function, for apps that do not have their server. */
  listener(serve) {
    this.#countRequests();
    return this.#http.listener(serve);
  }

  /** Run *work* as a procedure; return what it returns. Throws Draining if refused. */
  procedure(name, work) {
    const activity = this.#core.begin(name, now(), this.#current.getStore());
    const finish = () => this.#core.finish(activity, now());
    let promise = null;
    try {
      const returned = this.#current.run(activity, () => {
        const result = work();
        // Within the procedure: what begins only when it is awaited, as Knex, is part of it.
        if (typeof result?.then === 'function') promise = Promise.resolve(result);
        return result;
      });
      if (promise === null) finish();
      return promise === null ? returned : promise.finally(finish);
    } catch (error) {
      finish();
      throw error;
    }
  }

  /** Begin a procedure that `finish` ends. Throws Draining if refused. */
  begin(name) {
    const activity = this.#core.begin(name, now(), this.#current.getStore());
    const finish = () => this.#core.finish(activity, now());
    const begun = { finish };
    if (Symbol.dispose) begun[Symbol.dispose] = finish;
    if (Symbol.asyncDispose) begun[Symbol.asyncDispose] = async () => finish();
    return begun;
  }

  /**
   * Count stored procedures that are called through a pool or a connection of pg or mysql2,
   * a Knex or a Sequelize; return that object. While the process drains, calls fail with
   * Draining, except within requests and procedures that are under way.
   */
  database(handed, options) {
    if (this.#databases === null) {
      const { Databases } = require('./databases/databases.js'); // most apps do not need it
      this.#databases = new Databases(this.#core, this.#current, now);
    }
    return this.#databases.attach(handed, options);
  }

  /** serving, leaving, handoff or recycle. */
  get mode() {
    return this.#core.mode;
  }

  /** What is under way, in the form of spec/drain.md. */
  counts() {
    return this.#core.counts(now());
  }

  /** Is aborted when a drain begins; undrain makes a new one. For long polls. */
  get signal() {
    return this.#abort.signal;
  }

  /** Resolves when a drain begins. For long polls. */
  begun() {
    if (this.#core.isDraining) return Promise.resolve();
    return new Promise((resolve) => this.#resolveBegun.push(resolve));
  }

  /** Tell the supervisor, and PM2, that the app is ready. */
  ready() {
    if (this.#connection !== null) this.#connection.sendReady();
    // With a callback: a parent that has gone is no error of the app.
    if (process.send !== undefined) process.send('ready', () => {});
  }

  /** Disconnect, and no longer listen for signals. For tests. */
  close() {
    clearTimeout(this.#leadTimer);
    if (this.#connection !== null) this.#connection.close();
    if (this.#signals !== null) this.#signals.remove();
  }

  /** From now on the requests of this process are counted here, not by the preload. */
  #countRequests() {
    if (this.#countsRequests) return;
    this.#countsRequests = true;
    if (this.#connection === null) return;
    globalThis[Symbol.for('gapless.preload')]?.standDown();
    this.#connection.scopeChanged();
  }

  #countsChanged() {
    if (this.#connection !== null) this.#connection.countsChanged();
    if (this.#signals !== null) this.#signals.endIfIdle();
  }

  #takeOrder(order) {
    // It is about to end: the signal has begun this drain, and no order takes it back.
    if (order === 'undrain' && this.#signals !== null && this.#signals.pending !== null) return true;
    const wasDraining = this.#core.isDraining;
    const countsDue = this.#core.takeOrder(order);
    this.#modeChanged(wasDraining);
    return countsDue;
  }

  #modeChanged(wasDraining) {
    if (this.#core.isDraining && !wasDraining) {
      this.#abort.abort();
      for (const resolve of this.#resolveBegun.splice(0)) resolve();
      this.#http.drain();
    } else if (!this.#core.isDraining && wasDraining) {
      this.#abort = new AbortController();
    }
  }

  #beginDrainBySignal({ onSignal, leadS }) {
    if (this.#core.isDraining) return; // an order has begun one already
    const beginDrain = () => {
      this.#leadTimer = null;
      const wasDraining = this.#core.isDraining;
      this.#core.enter(onSignal);
      this.#modeChanged(wasDraining);
      this.#countsChanged();
    };
    if (leadS > 0) {
      this.#core.enter('leaving');
      this.#leadTimer = setTimeout(beginDrain, leadS * 1000);
    } else {
      beginDrain();
    }
  }

  #closeServers() {
    for (const server of this.#servers) {
      if (server.listening) server.close();
      if (server.closeIdleConnections) server.closeIdleConnections();
    }
  }
}

module.exports = { Drain, Draining };
