'use strict';
// Statements of pg: a Pool or a Client. A procedure is over when the database says that it is
// ready for the next statement, not when somebody stopped to wait for it.

const { Draining } = require('./core.js');

/** Tell whether it is a pool or a client of pg (not of pg-native, which has no wire). */
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
function attachPg(handed, gate) {
  if (isPool(handed)) attachPool(handed, gate);
  else attachClient(handed, gate);
}

// What a pool has begun already, by the object that it hands to the client.
const begunByPool = new WeakMap();

function attachPool(pool, gate) {
  if (!gate.isNew(pool)) return;
  const { connect, query } = pool;
  const waiting = gate.session(pool);

  pool.connect = function connectBehindGate(callback) {
    if (typeof callback !== 'function') {
      return connect.call(this).then((client) => {
        attachOrRelease(client);
        return client;
      });
    }
    const told = gate.bound(callback);
    return connect.call(this, (error, client, release) => {
      if (error) return told(error, client, release);
      try {
        attachOrRelease(client);
      } catch (unfit) {
        return told(unfit, undefined, () => {});
      }
      return told(error, client, release);
    });
  };

  function attachOrRelease(client) {
    try {
      attachClient(client, gate);
    } catch (error) {
      client.release(error);
      throw error;
    }
  }

  pool.query = function queryBehindGate(config, values, callback) {
    if (typeof values === 'function') [values, callback] = [undefined, values];
    if (config == null || typeof config === 'function') {
      return query.call(this, config, values, callback);
    }
    let run;
    try {
      run = gate.begin(textOf(config, waiting), waiting);
    } catch (error) {
      return refuse(error, callback);
    }
    const told = callback && gate.bound(callback);
    if (run === null) return query.call(this, config, values, told);
    // A copy of its own: the same object may be handed over twice.
    const own = typeof config === 'string' ? { text: config } : Object.create(config);
    begunByPool.set(own, run);
    const over = (failed) => {
      if (run.session === waiting) gate.end(run, Boolean(failed)); // it got no connection
    };
    if (callback) {
      return query.call(this, own, values, (error, result) => {
        over(error);
        told(error, result);
      });
    }
    const result = query.call(this, own, values);
    result.then(() => over(false), over);
    return result;
  };
}

function attachClient(client, gate) {
  if (!isClient(client)) throw new TypeError('pg-native has no connection of its own: use pg');
  if (!gate.isNew(client)) return;
  const { query } = client;
  const session = gate.session(client);
  client.on('end', () => gate.lost(session));

  client.query = function queryBehindGate(config, values, callback) {
    if (config == null) return query.call(this, config, values, callback);
    if (typeof values === 'function') [values, callback] = [undefined, values];
    const isSubmittable = typeof config.submit === 'function';
    const text = textOf(config, session); // also of what the pool began: names are kept
    let run = begunByPool.get(config);
    if (run !== undefined) {
      gate.move(run, session);
    } else {
      try {
        run = gate.begin(text, session);
      } catch (error) {
        return isSubmittable
          ? refuseSubmittable(error, config, callback, this)
          : refuse(error, callback || config.callback);
      }
    }
    const told = callback && gate.bound(callback);
    if (run === null) return query.call(this, config, values, told);
    if (isSubmittable) {
      watch(config, gate, run);
      return query.call(this, config, told);
    }
    return queryCounted(this, query, gate, run, [config, values, told]);
  };
}

/** Run a query whose object is ours to watch, as the client itself would run it. */
function queryCounted(client, query, gate, run, [config, values, callback]) {
  let result;
  try {
    const own = new client.constructor.Query(config, values, callback);
    if (config.query_timeout) own.query_timeout = config.query_timeout;
    watch(own, gate, run);
    if (!own.callback) {
      result = new Promise((resolve, reject) => {
        own.callback = (error, found) => (error ? reject(error) : resolve(found));
      }).catch((error) => {
        Error.captureStackTrace(error); // else it leads to the socket
        throw error;
      });
    }
    query.call(client, own);
  } catch (error) {
    gate.end(run, true);
    throw error;
  }
  return result;
}

/** End a run with the statement that a client carries out. */
function watch(own, gate, run) {
  const { submit, handleError, handleReadyForQuery } = own;
  let isSent = false;
  own.submit = function submitCounted(connection) {
    const error = submit.call(this, connection);
    isSent = !error;
    return error;
  };
  own.handleReadyForQuery = function readyCounted(...rest) {
    try {
      return handleReadyForQuery.apply(this, rest);
    } finally {
      gate.end(run);
    }
  };
  own.handleError = function errorCounted(error, ...rest) {
    try {
      return handleError.call(this, error, ...rest);
    } finally {
      // A time-out of the client stops nothing in the database: it is ready later, or the
      // connection ends. What the database itself reports has a severity.
      if (!isSent || error?.severity !== undefined) gate.end(run, true);
    }
  };
}

/** What a query says; one that was named before may say it no more. */
function textOf(config, session) {
  if (typeof config === 'string') return config;
  const text = config.text ?? config.cursor?.text; // of a query stream
  if (!config.name) return String(text ?? '');
  if (text) session.texts.set(config.name, text);
  return session.texts.get(config.name) ?? '';
}

function refuse(error, callback) {
  if (!(error instanceof Draining)) throw error;
  if (typeof callback !== 'function') return Promise.reject(error);
  process.nextTick(callback, error);
  return undefined;
}

/** As the client itself tells a query that it cannot take. */
function refuseSubmittable(error, config, callback, client) {
  if (!(error instanceof Draining)) throw error;
  if (!config.callback && callback) config.callback = callback;
  process.nextTick(() => config.handleError(error, client.connection));
  return config;
}

module.exports = { attachPg, isPg };
