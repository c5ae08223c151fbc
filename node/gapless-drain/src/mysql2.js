'use strict';
// Statements of mysql2: pools and connections, with callbacks or promises. All that a
// connection sends passes its addCommand; a procedure is over when its command has ended.

const { errorMonitor } = require('node:events');
const { Draining } = require('./core.js');

/** Tell whether it is a pool or a connection of mysql2. */
function isMysql(handed) {
  return coreOf(handed) !== null;
}

/** Those of promises have one with callbacks inside. */
function coreOf(handed) {
  for (const each of [handed.pool, handed.connection, handed]) {
    if (isPool(each) || isConnection(each)) return each;
  }
  return null;
}

function isPool(each) {
  return typeof each?.getConnection === 'function' && typeof each.execute === 'function';
}

function isConnection(each) {
  return typeof each?.addCommand === 'function' && typeof each.execute === 'function';
}

/** Count and refuse in front of a pool or a connection. */
function attachMysql(handed, gate) {
  const core = coreOf(handed);
  if (isConnection(core)) attachConnection(core, gate);
  else attachPool(core, gate);
}

// What a pool has begun already, by the object that it hands to the connection.
const begunByPool = new WeakMap();

function attachPool(pool, gate) {
  if (!gate.isNew(pool)) return;
  const { getConnection, query, execute } = pool;
  const waiting = gate.session(pool);
  let refusal = null;

  pool.getConnection = function getConnectionBehindGate(callback) {
    if (refusal !== null) {
      process.nextTick(callback, refusal);
      return undefined;
    }
    const told = gate.bound(callback);
    return getConnection.call(this, (error, connection) => {
      if (connection) attachConnection(connection, gate);
      told(error, connection);
    });
  };

  /** Begin, then let the pool do its part; `hand` takes what is counted to it. */
  function counted(text, callback, hand) {
    const told = callback && gate.bound(callback);
    let run = null;
    try {
      run = gate.begin(text, waiting);
    } catch (error) {
      if (!(error instanceof Draining)) throw error;
      refusal = error;
    }
    const over = (error) => {
      if (run !== null && run.session === waiting) gate.end(run, Boolean(error));
    };
    const ended = told && ((error, ...rest) => (over(error), told(error, ...rest)));
    try {
      const command = hand(run, ended);
      if (run !== null && !told) command?.once(errorMonitor, over);
      return command;
    } catch (error) {
      over(error);
      throw error;
    } finally {
      refusal = null;
    }
  }

  pool.query = function queryBehindGate(sql, values, callback) {
    if (typeof values === 'function') [values, callback] = [undefined, values];
    return counted(textOf(sql, values, this), callback, (run, ended) => {
      const command = ended ? query.call(this, sql, values, ended) : query.call(this, sql, values);
      if (run !== null) begunByPool.set(command, run);
      return command;
    });
  };

  pool.execute = function executeBehindGate(sql, values, callback) {
    if (typeof values === 'function') [values, callback] = [undefined, values];
    return counted(textOf(sql), callback, (run, ended) => {
      const own = typeof sql === 'object' ? { ...sql } : { sql };
      if (run !== null) begunByPool.set(own, run);
      return execute.call(this, own, values, ended);
    });
  };
}

function attachConnection(connection, gate) {
  if (!gate.isNew(connection)) return;
  const { addCommand, execute } = connection;
  const session = gate.session(connection);
  let begun = null; // by execute, which prepares first
  let refusal = null;
  if (connection.stream.destroyed) session.isLost = true;
  else connection.stream.once('close', () => gate.lost(session));

  connection.addCommand = function addCommandBehindGate(command) {
    if (typeof command.onResult === 'function') command.onResult = gate.bound(command.onResult);
    const text = command.statement ? command.statement.query : command.sql;
    const runs = typeof text === 'string';
    if (refusal !== null) return runs ? refuse(refusal, command) : command;
    if (!runs || session.isLost) return addCommand.call(this, command);
    let run = begun ?? begunByPool.get(command);
    begun = null;
    if (run !== undefined) {
      gate.move(run, session);
    } else {
      try {
        run = gate.begin(text, session);
      } catch (error) {
        return refuse(error, command);
      }
    }
    if (run !== null) watch(command, gate, run);
    return addCommand.call(this, command);
  };

  connection.execute = function executeBehindGate(sql, values, callback) {
    let run = begunByPool.get(sql);
    try {
      run = run ?? gate.begin(textOf(sql), session);
    } catch (error) {
      if (!(error instanceof Draining)) throw error;
      refusal = error;
    }
    begun = run ?? null;
    try {
      return execute.call(this, sql, values, callback);
    } catch (error) {
      if (run) gate.end(run, true);
      throw error;
    } finally {
      // A closed connection has told already that it takes nothing any more.
      if (begun !== null) gate.end(begun, true);
      begun = null;
      refusal = null;
    }
  };
}

/** End a run with its command: after an error, or when all is read. */
function watch(command, gate, run) {
  let hasFailed = false;
  const told = command.onResult;
  if (typeof told === 'function') {
    command.onResult = function toldCounted(error, ...rest) {
      hasFailed = Boolean(error);
      return told.call(this, error, ...rest);
    };
  } else {
    command.once(errorMonitor, () => (hasFailed = true));
  }
  command.once('end', () => gate.end(run, hasFailed));
}

/** What a query says; names that are filled in are names as well. */
function textOf(sql, values, pool) {
  const text = typeof sql === 'object' && sql !== null ? sql.sql : sql;
  if (typeof text !== 'string') return '';
  if (pool === undefined || !text.includes('??')) return text;
  return pool.format(text, values ?? sql.values);
}

/** Tell a command that it was not sent, as the driver would: later, once. */
function refuse(error, command) {
  if (!(error instanceof Draining)) throw error;
  process.nextTick(() => {
    if (typeof command.onResult === 'function') command.onResult(error);
    else command.emit('error', error);
    command.emit('end');
  });
  return command;
}

module.exports = { attachMysql, isMysql };
