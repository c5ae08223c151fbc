'use strict';
// Stored procedures that are called through a database driver. Only what the user hands over
// is changed: one pool, one connection, one Knex or Sequelize. No driver is loaded from here.

const { attachMysql, isMysql } = require('./mysql2.js');
const { attachPg, isPg } = require('./pg.js');
const { Statements, TRANSACTION, namesOf } = require('./statements.js');

const OPTIONS = ['functions', 'everyStatement'];

/** What one connection has done that a later statement depends on. */
class Session {
  constructor() {
    this.prepared = new Map();
    this.texts = new Map();
    this.open = new Set();
    this.transaction = null;
    this.isLost = false;
  }
}

/** Counts and refuses the statements of one dialect, for every connection of a kind. */
class StatementGate {
  constructor({ core, within, now, attached }, statements) {
    this.core = core;
    this.within = within;
    this.now = now;
    this.attached = attached;
    this.statements = statements;
    this.sessions = new WeakMap();
  }

  /** Tell whether a pool or connection is met for the first time: one gate is enough. */
  isNew(object) {
    if (this.attached.has(object)) return false;
    this.attached.add(object);
    return true;
  }

  session(connection) {
    let session = this.sessions.get(connection);
    if (session === undefined) {
      session = new Session();
      this.sessions.set(connection, session);
    }
    return session;
  }

  /**
   * Count what a text runs; null if that is no procedure, or what is to be handed to `end`
   * once. Throws Draining if it may not begin: then nothing was sent.
   */
  begin(text, session) {
    const { core, statements } = this;
    const steps = statements.steps(text);
    if (steps.length === 0) return null;
    const around = this.within.getStore();
    const isInside = around !== undefined && around.letsBegin;
    const names = namesOf(steps, session.prepared, !isInside);
    const changes = changed(steps, isInside, session);
    if (names.length === 0 && changes === null) return null;
    const inside = isInside ? around : session.transaction;
    const now = this.now();
    const run = { session, changes, tickets: names.map((n) => core.begin(n, now, inside)) };
    session.open.add(run);
    return run;
  }

  /** A text was run, or will never be; a second time changes nothing. */
  end(run, hasFailed = false) {
    if (!run.session.open.delete(run)) return;
    const { session, tickets, changes } = run;
    let rest = tickets;
    if (changes === 'begun' && !hasFailed && session.transaction === null) {
      // One procedure until it is committed: between its statements the count is not zero.
      session.transaction = tickets.find(({ named }) => named === TRANSACTION);
      rest = tickets.filter((ticket) => ticket !== session.transaction);
    } else if (changes === 'ended' && session.transaction !== null) {
      rest = [...tickets, session.transaction];
      session.transaction = null;
    }
    for (const ticket of rest) this.core.finish(ticket, this.now());
  }

  /** A run goes from the queue of a pool to one of its connections. */
  move(run, session) {
    if (!run.session.open.delete(run)) return;
    run.session = session;
    session.open.add(run);
  }

  /** A connection is gone, and so is what it ran. */
  lost(session) {
    session.isLost = true;
    for (const run of [...session.open]) this.end(run, true);
    if (session.transaction !== null) this.core.finish(session.transaction, this.now());
    session.transaction = null;
    session.prepared.clear();
  }

  /** Let a callback run where it was handed over, and not where its answer arrived. */
  bound(callback) {
    const { within } = this;
    const around = within.getStore();
    return function boundToCaller(...results) {
      return within.run(around, () => callback.apply(this, results));
    };
  }
}

/** The gates of one drain. */
class Databases {
  constructor(core, within, now) {
    this.parts = { core, within, now, attached: new WeakSet() };
    this.attached = new WeakSet(); // Knex and Sequelize too
  }

  /** Count and refuse in front of what was handed over; return it. */
  attach(handed, options = {}) {
    const unknown = Object.keys(options).filter((name) => !OPTIONS.includes(name));
    if (unknown.length > 0) throw new TypeError(`unknown option: ${unknown.join(', ')}`);
    if (handed === null || !['object', 'function'].includes(typeof handed)) throw unfit(handed);
    if (this.attached.has(handed)) return handed;
    const gates = new Map();
    const gate = (dialect) => {
      if (!gates.has(dialect)) {
        const statements = new Statements(dialect, options);
        gates.set(dialect, new StatementGate(this.parts, statements));
      }
      return gates.get(dialect);
    };
    attachAny(handed, gate);
    this.attached.add(handed);
    return handed;
  }
}

/** What a text does to a transaction that was begun outside; null if nothing. */
function changed(steps, isInside, session) {
  const last = steps.findLast(({ transaction }) => transaction !== undefined);
  if (last === undefined) return null;
  if (last.transaction === 'ended') return session.transaction === null ? null : 'ended';
  return isInside ? null : 'begun';
}

function attachAny(handed, gate) {
  if (isKnex(handed)) {
    const { client } = handed;
    const acquire = client.acquireConnection;
    client.acquireConnection = async function acquireBehindGate(...rest) {
      const connection = await acquire.apply(this, rest);
      try {
        attachDriver(connection, gate);
      } catch (error) {
        await client.releaseConnection(connection);
        throw error;
      }
      return connection;
    };
  } else if (typeof handed.addHook === 'function') {
    if (!['postgres', 'mysql'].includes(handed.getDialect?.())) throw unfit(handed);
    // Sequelize's own hook, before a connection is used.
    handed.addHook('afterPoolAcquire', (connection) => attachDriver(connection, gate));
  } else {
    attachDriver(handed, gate);
  }
}

function attachDriver(handed, gate) {
  if (isMysql(handed)) attachMysql(handed, gate('mysql'));
  else if (isPg(handed)) attachPg(handed, gate('postgresql'));
  else throw unfit(handed);
}

function isKnex(handed) {
  return typeof handed === 'function' && typeof handed.client?.acquireConnection === 'function';
}

function unfit(handed) {
  const kind = handed?.constructor?.name ?? String(handed);
  return new TypeError(
    `${kind} is no pool or connection of pg or mysql2, and no Knex or Sequelize on them`,
  );
}

module.exports = { Databases };
