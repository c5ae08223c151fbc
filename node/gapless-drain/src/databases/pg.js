'use strict';
// Counts the statements of pg: a Pool or a Client. A procedure ends when the database is ready
// for the next statement, not when the client stops waiting for it.

const { begunByPool } = require('./statement-counter.js');

/** Return whether it is a pool or a client of pg (not of pg-native: it has no connection). */
function isPg(handed) {
  return isPool(handed) || isClient(handed);
}

function isPool(handed) {
  return typeof handed.connect === 'function' && typeof handed.Client === 'function';
}

function isClient(handed) {
  return (
    typeof handed.query === 'function' &&
    typeof handed.connection?.on === 'function' &&
    typeof handed.constructor.Query === 'function'
  );
}

/** Count and refuse in front of a pool or a client. */
function attachPg(handed, counter) {
  if (isPool(handed)) attachPool(handed, counter);
  else attachClient(handed, counter);
}

function attachPool(pool, counter) {
  if (!counter.attachOnce(pool)) return;
  const { connect, query } = pool;
  const queue = counter.session(pool);

  pool.connect = function connectCounted(callback) {
    if (typeof callback !== 'function') {
      return connect.call(this).then((client) => {
        attachOrRelease(client);
        return client;
      });
    }
    const bound = counter.bind(callback);
    return connect.call(this, (error, client, release) => {
      if (error) return bound(error, client, release);
      try {
        attachOrRelease(client);
      } catch (unfit) {
        return bound(unfit, undefined, () => {});
      }
      return bound(error, client, release);
    });
  };

  function attachOrRelease(client) {
    try {
      attachClient(client, counter);
    } catch (error) {
      client.release(error);
      throw error;
    }
  }

  pool.query = function queryCounted(config, values, callback) {
    if (typeof values === 'function') [values, callback] = [undefined, values];
    if (config == null || typeof config === 'function') {
      return query.call(this, config, values, callback);
    }
    const { execution, refusal } = counter.begin(textOf(config, queue), queue);
    if (refusal !== null) return refuse(refusal, callback);
    const bound = callback && counter.bind(callback);
    if (execution === null) return query.call(this, config, values, bound);
    // An object of its own: the app may hand over the same one twice.
    const own = typeof config === 'string' ? { text: config } : Object.create(config);
    begunByPool.set(own, execution);
    const endIfQueued = (error) => {
      if (execution.session === queue) counter.end(execution, Boolean(error));
    };
    if (callback) {
      return query.call(this, own, values, (error, result) => {
        endIfQueued(error);
        bound(error, result);
      });
    }
    // What the app gets: a rejection that it does not handle must not look handled.
    return query.call(this, own, values).then(
      (result) => (endIfQueued(false), result),
      (error) => {
        endIfQueued(error);
        throw error;
      },
    );
  };
}

function attachClient(client, counter) {
  if (!isClient(client)) throw new TypeError('pg-native has no connection of its own: use pg');
  if (!counter.attachOnce(client)) return;
  const { query } = client;
  const session = counter.session(client);
  client.on('end', () => counter.connectionLost(session));

  client.query = function queryCounted(config, values, callback) {
    if (config == null) return query.call(this, config, values, callback);
    if (typeof values === 'function') [values, callback] = [undefined, values];
    const isSubmittable = typeof config.submit === 'function';
    // Also for what the pool has begun: the session remembers the text of a name.
    const text = textOf(config, session);
    let execution = begunByPool.get(config);
    if (execution !== undefined) {
      counter.move(execution, session);
    } else {
      const begun = counter.begin(text, session);
      if (begun.refusal !== null) {
        return isSubmittable
          ? refuseSubmittable(begun.refusal, config, callback, this)
          : refuse(begun.refusal, callback || config.callback);
      }
      execution = begun.execution;
    }
    const bound = callback && counter.bind(callback);
    if (execution === null) return query.call(this, config, values, bound);
    if (isSubmittable) {
      endWith(config, counter, execution);
      return query.call(this, config, bound);
    }
    return queryOwnObject(this, query, counter, execution, [config, values, bound]);
  };
}

/** Run a query with an object of our own, as the client itself would. */
function queryOwnObject(client, query, counter, execution, [config, values, callback]) {
  let result;
  try {
    const own = new client.constructor.Query(config, values, callback);
    if (config.query_timeout) own.query_timeout = config.query_timeout;
    endWith(own, counter, execution);
    if (!own.callback) {
      result = new Promise((resolve, reject) => {
        own.callback = (error, found) => (error ? reject(error) : resolve(found));
      }).catch((error) => {
        Error.captureStackTrace(error); // otherwise the stack is that of the socket
        throw error;
      });
    }
    query.call(client, own);
  } catch (error) {
    counter.end(execution, true);
    throw error;
  }
  return result;
}

/** End an execution with the query object that a client executes. */
function endWith(own, counter, execution) {
  const { submit, handleError, handleReadyForQuery } = own;
  let isSent = false;
  own.submit = function submitCounted(connection) {
    const error = submit.call(this, connection);
    isSent = !error;
    return error;
  };
  own.handleReadyForQuery = function handleReadyCounted(...rest) {
    try {
      return handleReadyForQuery.apply(this, rest);
    } finally {
      counter.end(execution);
    }
  };
  own.handleError = function handleErrorCounted(error, ...rest) {
    try {
      return handleError.call(this, error, ...rest);
    } finally {
      // A time-out of the client stops nothing in the database: it is ready later, or the
      // connection ends. Only an error of the database has a severity.
      if (!isSent || error?.severity !== undefined) counter.end(execution, true);
    }
  };
}

/** The text of a query; one with a name may leave out the text that it had before. */
function textOf(config, session) {
  if (typeof config === 'string') return config;
  const text = config.text ?? config.cursor?.text; // of a query stream
  if (!config.name) return String(text ?? '');
  if (text) session.texts.set(config.name, text);
  return session.texts.get(config.name) ?? '';
}

function refuse(refusal, callback) {
  if (typeof callback !== 'function') return Promise.reject(refusal);
  process.nextTick(callback, refusal);
  return undefined;
}

/** Refuse as the client does when it cannot take a query. */
function refuseSubmittable(refusal, config, callback, client) {
  if (!config.callback && callback) config.callback = callback;
  process.nextTick(() => config.handleError(refusal, client.connection));
  return config;
}

module.exports = { attachPg, isPg };
