'use strict';
// Counts the statements of mysql2: pools and connections, with callbacks or promises. A
// connection sends nothing that does not pass its addCommand. A procedure ends when its command
// has ended.

const { errorMonitor } = require('node:events');
const { begunByPool } = require('./statement-counter.js');

/** Return whether it is a pool or a connection of mysql2. */
function isMysql(handed) {
  return coreOf(handed) !== null;
}

/** The pool or connection with callbacks; one with promises contains it. */
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
function attachMysql(handed, counter) {
  const core = coreOf(handed);
  if (isConnection(core)) attachConnection(core, counter);
  else attachPool(core, counter);
}

function attachPool(pool, counter) {
  if (!counter.attachOnce(pool)) return;
  const { getConnection, query, execute } = pool;
  const queue = counter.session(pool);
  let refusal = null; // of the call that the pool is in the middle of

  pool.getConnection = function getConnectionCounted(callback) {
    if (refusal !== null) {
      process.nextTick(callback, refusal);
      return undefined;
    }
    const bound = counter.bind(callback);
    return getConnection.call(this, (error, connection) => {
      if (connection) attachConnection(connection, counter);
      bound(error, connection);
    });
  };

  /** Begin, then call the pool; *call* gets the execution and the callback to hand over. */
  function callCounted(text, callback, call) {
    const bound = callback && counter.bind(callback);
    const begun = counter.begin(text, queue);
    const { execution } = begun;
    refusal = begun.refusal;
    const endIfQueued = (error) => {
      if (execution !== null && execution.session === queue) counter.end(execution, Boolean(error));
    };
    const ended = bound && ((error, ...rest) => (endIfQueued(error), bound(error, ...rest)));
    try {
      const command = call(execution, ended);
      if (execution !== null && !bound) command?.once(errorMonitor, endIfQueued);
      return command;
    } catch (error) {
      endIfQueued(error);
      throw error;
    } finally {
      refusal = null;
    }
  }

  pool.query = function queryCounted(sql, values, callback) {
    if (typeof values === 'function') [values, callback] = [undefined, values];
    return callCounted(textOf(sql, values, this), callback, (execution, ended) => {
      const command = ended ? query.call(this, sql, values, ended) : query.call(this, sql, values);
      if (execution !== null) begunByPool.set(command, execution);
      return command;
    });
  };

  pool.execute = function executeCounted(sql, values, callback) {
    if (typeof values === 'function') [values, callback] = [undefined, values];
    return callCounted(textOf(sql), callback, (execution, ended) => {
      const own = typeof sql === 'object' ? { ...sql } : { sql };
      if (execution !== null) begunByPool.set(own, execution);
      return execute.call(this, own, values, ended);
    });
  };
}

function attachConnection(connection, counter) {
  if (!counter.attachOnce(connection)) return;
  const { addCommand, execute } = connection;
  const session = counter.session(connection);
  // Of the `execute` in whose middle the connection is: it prepares the statement first.
  let execution = null;
  let refusal = null;
  if (connection.stream.destroyed) session.isLost = true;
  else connection.stream.once('close', () => counter.connectionLost(session));

  connection.addCommand = function addCommandCounted(command) {
    if (typeof command.onResult === 'function') command.onResult = counter.bind(command.onResult);
    const text = command.statement ? command.statement.query : command.sql;
    const isStatement = typeof text === 'string';
    if (refusal !== null) return isStatement ? refuse(refusal, command) : command;
    if (!isStatement || session.isLost) return addCommand.call(this, command);
    let own = execution ?? begunByPool.get(command);
    execution = null;
    if (own !== undefined) {
      counter.move(own, session);
    } else {
      const begun = counter.begin(text, session);
      if (begun.refusal !== null) return refuse(begun.refusal, command);
      own = begun.execution;
    }
    if (own !== null) endWith(command, counter, own);
    return addCommand.call(this, command);
  };

  connection.execute = function executeCounted(sql, values, callback) {
    let own = begunByPool.get(sql);
    if (own === undefined) ({ execution: own, refusal } = counter.begin(textOf(sql), session));
    execution = own;
    try {
      return execute.call(this, sql, values, callback);
    } catch (error) {
      if (own) counter.end(own, true);
      throw error;
    } finally {
      // Still here if the connection is closed: it fails, and adds no command.
      if (execution !== null) counter.end(execution, true);
      execution = null;
      refusal = null;
    }
  };
}

/** End an execution with its command: after an error, or when all is read. */
function endWith(command, counter, execution) {
  let hasFailed = false;
  const { onResult } = command;
  if (typeof onResult === 'function') {
    command.onResult = function onResultCounted(error, ...rest) {
      hasFailed = Boolean(error);
      return onResult.call(this, error, ...rest);
    };
  } else {
    command.once(errorMonitor, () => (hasFailed = true));
  }
  command.once('end', () => counter.end(execution, hasFailed));
}

/** The text of a query; names that are filled in for `??` are part of it. */
function textOf(sql, values, pool) {
  const text = typeof sql === 'object' && sql !== null ? sql.sql : sql;
  if (typeof text !== 'string') return '';
  if (pool === undefined || !text.includes('??')) return text;
  return pool.format(text, values ?? sql.values);
}

/** Let a command fail as in the driver: later, once. */
function refuse(refusal, command) {
  process.nextTick(() => {
    if (typeof command.onResult === 'function') command.onResult(refusal);
    else command.emit('error', refusal);
    command.emit('end');
  });
  return command;
}

module.exports = { attachMysql, isMysql };
