'use strict';
// What the modules of the drivers share: statements are counted before they are sent, or
// refused.

const { Draining } = require('../core.js');
const { TRANSACTION, namesOf } = require('./sql/procedures.js');

/** What a pool has begun, by the object that it passes on to one of its connections. */
const begunByPool = new WeakMap();

const NOTHING_BEGUN = Object.freeze({ execution: null, refusal: null });

/** The state of one connection on which later statements depend. */
class Session {
  constructor() {
    this.prepared = new Map(); // what a statement calls, by its name in SQL
    this.texts = new Map(); // the text of a statement, by its name in the driver
    this.executions = new Set(); // those under way
    this.transaction = null;
    this.isLost = false;
  }
}

/** Counts and refuses the statements of one dialect, on the connections of one object. */
class StatementCounter {
  /** *attached* has the objects that are attached already, whatever the counter. */
  constructor({ core, current, now, attached }, finder) {
    this.core = core;
    this.current = current;
    this.now = now;
    this.attached = attached;
    this.finder = finder;
    this.sessions = new WeakMap();
  }

  /** Return whether a pool or connection is not attached yet; it is from now on. */
  attachOnce(object) {
    if (this.attached.has(object)) return false;
    this.attached.add(object);
    return true;
  }

  /** The session of a connection. A pool has one for statements that wait in its queue. */
  session(connection) {
    let session = this.sessions.get(connection);
    if (session === undefined) {
      session = new Session();
      this.sessions.set(connection, session);
    }
    return session;
  }

  /**
   * Count what a text calls. Return the execution, to be passed to `end` once, or null if the
   * text is no procedure; and the refusal, a Draining, in whose case nothing may be sent.
   */
  begin(text, session) {
    const steps = this.finder.steps(text);
    if (steps.length === 0) return NOTHING_BEGUN;
    try {
      return { execution: this.beginSteps(steps, session), refusal: null };
    } catch (error) {
      if (error instanceof Draining) return { execution: null, refusal: error };
      throw error;
    }
  }

  beginSteps(steps, session) {
    const { core } = this;
    const activity = this.current.getStore();
    const isInside = activity !== undefined && activity.admitsProcedures;
    const names = namesOf(steps, session.prepared, !isInside);
    const transactionChange = transactionChangeOf(steps, isInside, session);
    if (names.length === 0 && transactionChange === null) return null;
    const parent = isInside ? activity : session.transaction;
    const now = this.now();
    const procedures = names.map((name) => core.begin(name, now, parent));
    const execution = { session, transactionChange, procedures };
    session.executions.add(execution);
    return execution;
  }

  /** A text was executed, or never will be; a second call changes nothing. */
  end(execution, hasFailed = false) {
    const { session, procedures, transactionChange } = execution;
    if (!session.executions.delete(execution)) return;
    let finished = procedures;
    if (transactionChange === 'begun' && !hasFailed && session.transaction === null) {
      // It stays open until it ends: between its statements the count must not be zero.
      session.transaction = procedures.find(({ nameSource }) => nameSource === TRANSACTION);
      finished = procedures.filter((procedure) => procedure !== session.transaction);
    } else if (transactionChange === 'ended' && session.transaction !== null) {
      finished = [...procedures, session.transaction];
      session.transaction = null;
    }
    for (const procedure of finished) this.core.finish(procedure, this.now());
  }

  /** Move an execution from the queue of a pool to one of its connections. */
  move(execution, session) {
    if (!execution.session.executions.delete(execution)) return;
    execution.session = session;
    session.executions.add(execution);
  }

  /** End what a connection executed, since the connection is lost. */
  connectionLost(session) {
    session.isLost = true;
    for (const execution of [...session.executions]) this.end(execution, true);
    if (session.transaction !== null) this.core.finish(session.transaction, this.now());
    session.transaction = null;
    session.prepared.clear();
  }

  /** Make a callback run within the request of its caller, not where the answer arrives. */
  bind(callback) {
    const { current } = this;
    const activity = current.getStore();
    return function boundCallback(...results) {
      return current.run(activity, () => callback.apply(this, results));
    };
  }
}

/** What a text does to a transaction that was begun outside a request; null if nothing. */
function transactionChangeOf(steps, isInside, session) {
  const last = steps.findLast(({ transaction }) => transaction !== undefined);
  if (last === undefined) return null;
  if (last.transaction === 'ended') return session.transaction === null ? null : 'ended';
  return isInside ? null : 'begun';
}

module.exports = { StatementCounter, begunByPool };
