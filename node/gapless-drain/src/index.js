'use strict';
// Count what is under way in a web app; told to finish, refuse what is new, and end.

const { AsyncLocalStorage } = require('node:async_hooks');
const { Core, Draining } = require('./core.js');
const { Gate } = require('./http.js');
const { Line } = require('./line.js');
const { DEFAULTS } = require('./settings.js');
const { Signals } = require('./signals.js');

const LIBRARY = 'gapless-drain 0.1.0 (node)';
const now = () => performance.now() / 1000;

/** What is under way in this process, and the word from outside to finish it. */
class Drain {
  #core;
  #gate;
  #line = null;
  #signals = null;
  #within = new AsyncLocalStorage();
  #abort = new AbortController();
  #servers = new Set();
  #begun = [];
  #databases = null;
  #lead = null;

  constructor(options = {}) {
    const { environment = process.env, ...own } = options;
    const unknown = Object.keys(own).filter((name) => !(name in DEFAULTS));
    if (unknown.length > 0) throw new TypeError(`unknown option: ${unknown.join(', ')}`);
    const settings = { ...DEFAULTS, ...own };
    this.#core = new Core(() => this.#changed());
    this.#gate = new Gate(this.#core, settings, this.#within, now);
    if (environment.GAPLESS_SOCKET && environment.GAPLESS_INSTANCE) {
      // Who was loaded in case that there is no library: there is one.
      globalThis[Symbol.for('gapless.preload')]?.standDown();
      this.#line = new Line(environment, LIBRARY, {
        ordered: (line) => this.#ordered(line),
        counts: () => this.counts(),
      });
    }
    if (settings.onSignal !== null) {
      this.#signals = new Signals(
        () => this.#beginBySignal(settings),
        () => this.#lead !== null || !this.#core.isDrained,
        () => this.#closeServers(),
        settings.drainTimeoutS,
      );
    }
  }

  /** Count and refuse in front of a server of any framework; return the server. */
  attach(server) {
    this.#servers.add(server);
    return this.#gate.attach(server);
  }

  /** Wrap one (request, response) function, for those who have no server at hand. */
  listener(serve) {
    return this.#gate.listener(serve);
  }

  /** Run *work* as a procedure; return what it returns. Throws Draining if refused. */
  procedure(name, work) {
    const ticket = this.#core.begin(name, now(), this.#within.getStore());
    const finish = () => this.#core.finish(ticket, now());
    let returned;
    try {
      returned = this.#within.run(ticket, work);
    } catch (error) {
      finish();
      throw error;
    }
    if (returned === null || typeof returned?.then !== 'function') {
      finish();
      return returned;
    }
    return Promise.resolve(returned).finally(finish);
  }

  /** Begin a procedure that `finish` ends. Throws Draining if refused. */
  begin(name) {
    const ticket = this.#core.begin(name, now(), this.#within.getStore());
    const finish = () => this.#core.finish(ticket, now());
    const begun = { finish };
    if (Symbol.dispose) begun[Symbol.dispose] = finish;
    if (Symbol.asyncDispose) begun[Symbol.asyncDispose] = async () => finish();
    return begun;
  }

  /**
   * Count stored procedures that are called through a pool or a connection of pg or mysql2,
   * a Knex or a Sequelize; return it. Once draining, they fail with Draining outside.
   */
  database(handed, options) {
    if (this.#databases === null) {
      const { Databases } = require('./databases.js'); // most apps need none of it
      this.#databases = new Databases(this.#core, this.#within, now);
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

  /** Is aborted when a drain begins; a new one after undrain. For long polls. */
  get signal() {
    return this.#abort.signal;
  }

  /** Resolves when a drain begins. For long polls. */
  begun() {
    if (this.#core.isDraining) return Promise.resolve();
    return new Promise((resolve) => this.#begun.push(resolve));
  }

  /** Tell the supervisor, and PM2, that the app is ready. */
  ready() {
    if (this.#line !== null) this.#line.ready();
    if (process.send !== undefined) process.send('ready');
  }

  /** Hang up, and listen to signals no more. For tests. */
  close() {
    clearTimeout(this.#lead);
    if (this.#line !== null) this.#line.close();
    if (this.#signals !== null) this.#signals.remove();
  }

  #changed() {
    if (this.#line !== null) this.#line.changed();
    if (this.#signals !== null) this.#signals.changed();
  }

  #ordered(line) {
    const before = this.#core.isDraining;
    const tell = this.#core.order(line);
    this.#entered(before);
    return tell;
  }

  #entered(wasDraining) {
    if (this.#core.isDraining && !wasDraining) {
      this.#abort.abort();
      for (const resolve of this.#begun.splice(0)) resolve();
      this.#gate.drain();
    } else if (!this.#core.isDraining && wasDraining) {
      this.#abort = new AbortController();
    }
  }

  #beginBySignal({ onSignal, leadS }) {
    if (this.#core.isDraining) return; // an order has begun one already
    const refuse = () => {
      this.#lead = null;
      const before = this.#core.isDraining;
      this.#core.enter(onSignal);
      this.#entered(before);
      this.#changed();
    };
    if (leadS > 0) {
      this.#core.enter('leaving');
      this.#lead = setTimeout(refuse, leadS * 1000);
    } else {
      refuse();
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
