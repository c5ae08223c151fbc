'use strict';
const assert = require('node:assert/strict');
const { test } = require('node:test');
const { setTimeout } = require('node:timers/promises');
const Cursor = require('pg-cursor');
const QueryStream = require('pg-query-stream');
const pg = require('pg');
const knex = require('knex');
const { Sequelize } = require('sequelize');
const { Draining } = require('../src/index.js');
const { withDatabase } = require('./database.js');
const { holdsForEachWay, leavesNothing, stage } = require('./procedures.js');
const { until } = require('./rig.js');

const database = withDatabase('postgresql');

const promised = (work) =>
  new Promise((resolve, reject) => work((error, result) => (error ? reject(error) : resolve(result))));

function pool(query) {
  return async (drain, options) => {
    const own = drain.database(new pg.Pool(options));
    return {
      call: (run) => query(own, 'CALL close_month($1)', [run]),
      fail: () => query(own, 'CALL fail()'),
      close: () => own.end(),
    };
  };
}

function client(query) {
  return async (drain, options) => {
    const own = drain.database(new pg.Client(options));
    await own.connect();
    return {
      call: (run) => query(own, 'CALL close_month($1)', [run]),
      fail: () => query(own, 'CALL fail()'),
      close: () => own.end(),
    };
  };
}

const inTransaction = async (own, sql, values) => {
  const one = await own.connect();
  try {
    await one.query('BEGIN');
    const result = await one.query(sql, values);
    await one.query('COMMIT');
    return result;
  } catch (error) {
    await one.query('ROLLBACK');
    throw error;
  } finally {
    one.release();
  }
};

const ways = {
  'a pool': pool((own, sql, values) => own.query(sql, values)),
  'a pool, with an object': pool((own, text, values) => own.query({ text, values })),
  'a pool, with a name': pool((own, text, values) => own.query({ name: `${text}!`, text, values })),
  'a pool, with a callback': pool((own, sql, values) =>
    promised((done) => own.query(sql, values, done)),
  ),
  'a pool, and a client of it with a callback': pool((own, sql, values) =>
    promised((done) =>
      own.connect((error, one, release) => {
        if (error) return done(error);
        one.query(sql, values, (failed, result) => {
          release();
          done(failed, result);
        });
      }),
    ),
  ),
  'a transaction': pool(inTransaction),
  'a client': client((own, sql, values) => own.query(sql, values)),
  'a client, with a callback': client((own, sql, values) =>
    promised((done) => own.query(sql, values, done)),
  ),
  'a client, with a callback and an object': client((own, text, values) =>
    promised((done) => own.query({ text, values }, done)),
  ),
  'a query object': client((own, sql, values) =>
    promised((done) => own.query(new pg.Query(sql, values, done))),
  ),
  'a cursor': pool(async (own, sql, values) => {
    const one = await own.connect();
    try {
      const cursor = one.query(new Cursor(sql, values));
      const rows = await cursor.read(10);
      await cursor.close();
      return rows;
    } finally {
      one.release();
    }
  }),
  'a query stream': pool(async (own, sql, values) => {
    const one = await own.connect();
    try {
      const rows = [];
      for await (const row of one.query(new QueryStream(sql, values))) rows.push(row);
      return rows;
    } finally {
      one.release();
    }
  }),
  Knex: async (drain, connection) => {
    const own = drain.database(knex({ client: 'pg', connection }));
    return {
      call: async (run) => own.raw('CALL close_month(?)', [run]),
      fail: async () => own.raw('CALL fail()'),
      close: () => own.destroy(),
    };
  },
  'Knex in a transaction': async (drain, connection) => {
    const own = drain.database(knex({ client: 'pg', connection }));
    return {
      call: (run) => own.transaction((trx) => trx.raw('CALL close_month(?)', [run])),
      fail: () => own.transaction((trx) => trx.raw('CALL fail()')),
      close: () => own.destroy(),
    };
  },
  Sequelize: async (drain, { host, port, user, password, database: name }) => {
    const settings = { host, port, dialect: 'postgres', logging: false };
    const own = drain.database(new Sequelize(name, user, password, settings));
    return {
      call: (run) => own.query('CALL close_month(:run)', { replacements: { run } }),
      fail: () => own.query('CALL fail()'),
      close: () => own.close(),
    };
  },
};

holdsForEachWay(database, ways);

async function opened(context, options = {}, settings = {}) {
  const on = await stage(context, database);
  on.pool = on.drain.database(new pg.Pool({ ...database.options, ...settings }), options);
  on.pool.on('error', () => {});
  on.closing(() => (on.pool.ended || on.pool.ending ? undefined : on.pool.end()));
  return on;
}

test('what is refused sends no byte, and the connection goes on', async (context) => {
  const on = await opened(context);
  const one = await on.pool.connect();
  await on.order('drain handoff');
  const { stream } = one.connection;
  const before = stream.bytesWritten;
  await assert.rejects(one.query('CALL close_month(1)'), Draining);
  await assert.rejects(one.query(new QueryStream('CALL close_month(1)')).toArray(), Draining);
  await assert.rejects(on.pool.query('CALL close_month(1)'), {
    name: 'Draining',
    message: /^close_month: this process drains/,
  });
  assert.equal(stream.bytesWritten, before);
  assert.equal(on.pool.totalCount, 1); // none was opened for it
  assert.deepEqual((await one.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
  one.release();
  assert.equal(on.count, 0);
});

test('a procedure begins when it is queued', async (context) => {
  const on = await opened(context, {}, { max: 1 });
  await on.lock();
  const [first, second] = [on.pool.query('CALL close_month($1)', [on.run]), on.pool.query('CALL fail()')];
  assert.equal(on.count, 2);
  await on.order('drain recycle');
  const failed = assert.rejects(second, /it failed/); // it was carried out
  await on.unlock();
  await first;
  await failed;
  assert.equal(on.count, 0);
});

test('a name without its text is known', async (context) => {
  const on = await opened(context);
  const one = await on.pool.connect();
  await on.lock();
  const called = one.query({ name: 'close', text: 'CALL close_month($1)', values: [on.run] });
  assert.deepEqual(on.names, ['close_month']);
  await on.unlock();
  await called;
  const again = one.query({ name: 'close', values: [on.run] });
  assert.deepEqual(on.names, ['close_month']);
  await again;
  one.release();
  await on.pool.query({ name: 'anew', text: 'CALL close_month($1)', values: [on.run] });
  assert.equal(await on.pool.connect(), one);
  await on.order('drain recycle');
  await assert.rejects(one.query({ name: 'close', values: [on.run] }), Draining);
  await assert.rejects(one.query({ name: 'anew', values: [on.run] }), Draining);
  one.release();
});

test('the same object may be handed over again and again', async (context) => {
  const on = await opened(context);
  const query = Object.freeze({ text: 'CALL close_month($1)', values: [on.run] });
  await Promise.all([1, 2, 3].map(() => on.pool.query(query)));
  assert.equal((await on.steps()).length, 6);
  assert.equal(on.count, 0);
});

test('a time-out of the client ends nothing in the database', async (context) => {
  const on = await opened(context);
  const one = await on.pool.connect();
  await on.lock();
  const query = { text: 'CALL close_month($1)', values: [on.run], query_timeout: 50 };
  await assert.rejects(one.query(query), /timeout/);
  assert.equal(on.count, 1);
  await on.unlock();
  await on.until(0);
  assert.deepEqual(await on.steps(), [1, 2]);
  one.release();
});

test('a time-out in the queue ends what never began', async (context) => {
  const on = await opened(context);
  const one = await on.pool.connect();
  await on.lock();
  const first = one.query('CALL close_month($1)', [on.run]);
  const query = { text: 'CALL close_month($1)', values: [-1], query_timeout: 50 };
  await assert.rejects(one.query(query), /timeout/);
  assert.equal(on.count, 1);
  await on.unlock();
  await first;
  assert.equal(on.count, 0);
  one.release();
});

test('a cancelled procedure has ended', async (context) => {
  const on = await opened(context);
  const one = await on.pool.connect();
  await on.lock();
  const called = one.query('CALL close_month($1)', [on.run]);
  await until(async () => (await waits(one.processID)) > 0, 'the lock');
  const cancelled = assert.rejects(called, /canceling statement/);
  await database.control.run(`SELECT pg_cancel_backend(${one.processID})`);
  await cancelled;
  assert.equal(on.count, 0);
  await on.unlock();
  assert.deepEqual(await on.steps(), []);
  one.release();
});

async function waits(pid) {
  const sql = `SELECT 1 FROM pg_locks WHERE pid = ${pid} AND locktype = 'advisory'`;
  return (await database.control.run(sql)).length;
}

for (const [how, kill] of Object.entries({
  'the database ends it': (one) => database.control.kill(one.processID),
  'the socket is lost': (one) => one.connection.stream.destroy(),
  'the client ends it': (one) => one.end(),
})) {
  test(`a connection that dies ends its procedures, once: ${how}`, async (context) => {
    const on = await opened(context);
    const one = await on.pool.connect();
    one.on('error', () => {});
    await on.lock();
    const called = [1, 2].map(() => one.query('CALL close_month($1)', [on.run]));
    for (const each of called) each.catch(() => {});
    assert.equal(on.count, 2);
    await on.order('drain recycle');
    await until(async () => (await waits(one.processID)) > 0, 'the lock');
    await kill(one);
    for (const each of called) await assert.rejects(each);
    await on.until(0);
    assert.equal(on.drain.counts().finished.procedures, 2);
    await on.unlock();
    one.release(true);
  });
}

test('a pool that ends, and one that reaches nobody, leave no count behind', async (context) => {
  const on = await opened(context);
  await on.pool.end();
  await assert.rejects(on.pool.query('CALL close_month(1)'), /after calling end/);
  assert.equal(on.count, 0);
  const nobody = on.drain.database(new pg.Pool({ ...database.options, port: 1 }));
  await assert.rejects(nobody.query('CALL close_month(1)'), { code: 'ECONNREFUSED' });
  await assert.rejects(
    promised((done) => nobody.query('CALL close_month(1)', done)),
    { code: 'ECONNREFUSED' },
  );
  assert.equal(on.count, 0);
  await nobody.end();
});

test('whatever happens to many at once, no count is left', async (context) => {
  const on = await opened(context, {}, { max: 5, query_timeout: 300 });
  const call = 'CALL close_month(-5)'; // they wait for each other
  const withClient = async (work) => {
    const one = await on.pool.connect();
    one.on('error', () => {});
    let failed = false;
    try {
      await work(one);
    } catch (error) {
      failed = true;
      throw error;
    } finally {
      one.removeAllListeners('error');
      one.on('error', () => {});
      one.release(failed);
    }
  };
  await leavesNothing(on, [
    () => on.pool.query(call),
    () => on.pool.query({ text: 'CALL close_month($1)', values: [-5], query_timeout: 1 }),
    () => on.pool.query('CALL fail()'),
    () => promised((done) => on.pool.query(call, done)),
    () => withClient((one) => Promise.all([one.query(call), one.connection.stream.destroy()])),
    () =>
      withClient((one) =>
        Promise.all([one.query(call), database.control.kill(one.processID)]),
      ),
    () =>
      withClient(async (one) => {
        await one.query('BEGIN');
        await one.query(call);
        await one.query('CALL no_such_procedure()');
      }),
    // A stream whose connection ends while it closes never closes (pg-cursor waits for an
    // answer to its Close); what it called has ended all the same.
    () =>
      withClient((one) =>
        Promise.race([
          one.query(new QueryStream(call)).toArray(),
          setTimeout(5000, undefined, { ref: false }).then(() => assert.fail('it hangs')),
        ]),
      ),
  ]);
});

test('a callback runs within the request that it belongs to', async (context) => {
  const on = await opened(context, {}, { max: 1 });
  const { promise: told, resolve: tell } = withResolvers();
  let isServed = false;
  const answer = on.request(
    () =>
      new Promise((resolve, reject) => {
        on.pool.connect((error, one, release) => {
          one.query('SELECT 1', () => {
            isServed = true;
            told.then(() => {});
            one.query('SELECT pg_sleep(0)', () => {
              told.then(() =>
                one.query('CALL close_month($1)', [on.run], (failed) => {
                  release();
                  if (failed) reject(failed);
                  else resolve('called');
                }),
              );
            });
          });
        });
      }),
  );
  await until(() => isServed, 'the request');
  await on.order('drain recycle');
  // Queued outside, it is answered by a connection that was opened within.
  const outside = promised((done) =>
    on.pool.query('SELECT 1', () => on.pool.query('CALL close_month(-2)', done)),
  );
  const refused = assert.rejects(outside, Draining);
  tell();
  assert.equal((await answer).body, 'called');
  await refused;
  assert.deepEqual(await on.steps(), [1, 2]);
});

function withResolvers() {
  let resolve;
  const promise = new Promise((done) => (resolve = done));
  return { promise, resolve };
}

test('blocks count, and several statements', async (context) => {
  const on = await opened(context);
  await on.lock();
  const block = on.pool.query(`DO $$ BEGIN CALL close_month(${on.run}); END $$`);
  const both = on.pool.query(`SELECT 1; CALL close_month(${on.run}); /* ; */ CALL close_month(-3)`);
  assert.deepEqual(on.names, ['DO', 'close_month', 'close_month']);
  await on.unlock();
  await block;
  assert.equal((await both).length, 3);
  assert.equal(on.count, 0);
});

test('functions that are named count, and prepared statements with them', async (context) => {
  const on = await opened(context, { functions: ['pay'] });
  const one = await on.pool.connect();
  await on.lock();
  const called = one.query('WITH a AS (SELECT pay($1) AS b) SELECT b FROM a', [on.run]);
  assert.deepEqual(on.names, ['pay']);
  await on.unlock();
  assert.deepEqual((await called).rows, [{ b: on.run }]);
  await one.query('PREPARE p AS SELECT pay($1)');
  await on.order('drain recycle');
  await assert.rejects(one.query('EXECUTE p(1)'), /^Draining: pay:/);
  assert.equal((await one.query('SELECT 1')).rowCount, 1);
  one.release();
});

test('if everything counts, a transaction is one procedure until it ends', async (context) => {
  const on = await opened(context, { everyStatement: true });
  const one = await on.pool.connect();
  await one.query('SELECT 1');
  assert.equal(on.count, 0);
  await one.query('SELECT 1; BEGIN');
  assert.deepEqual(on.names, ['transaction']);
  await on.order('drain recycle');
  await one.query('INSERT INTO steps VALUES ($1, 1)', [on.run]); // it goes on
  await assert.rejects(on.pool.query('SELECT 1'), Draining);
  await one.query('SAVEPOINT a; ROLLBACK TO a');
  assert.equal(on.count, 1);
  await one.query('COMMIT');
  assert.equal(on.count, 0);
  assert.deepEqual(await on.steps(), [1]);
  await assert.rejects(one.query('SELECT 1'), Draining);
  await one.query('ROLLBACK'); // never refused
  await on.order('undrain');
  await one.query('BEGIN');
  one.release(true);
  await on.until(0);
  const answer = await on.request(async () => {
    await on.pool.query('SELECT 1');
    return on.count;
  });
  assert.equal(answer.body, '0');
});

class Foreign extends require('node:events').EventEmitter {
  connect(callback) {
    callback(null);
  }

  end(callback) {
    callback();
  }
}

test('a pool with clients of another kind says so, and keeps none', async (context) => {
  const on = await stage(context, database);
  const own = on.drain.database(new pg.Pool({ Client: Foreign }));
  await assert.rejects(own.query('SELECT 1'), /^TypeError: pg-native has no connection/);
  await assert.rejects(own.connect(), /^TypeError: pg-native/);
  assert.equal(own.totalCount, 0);
  await assert.rejects(own.query('CALL p()'), /^TypeError: pg-native/);
  assert.equal(on.count, 0);
});

test('handed over twice it counts once', async (context) => {
  const on = await opened(context);
  const one = await on.pool.connect();
  on.drain.database(on.pool);
  on.drain.database(one);
  await on.lock();
  const called = one.query('CALL close_month($1)', [on.run]);
  assert.equal(on.count, 1);
  await on.unlock();
  await called;
  one.release();
});

test('what is nothing of all this is named', async (context) => {
  const on = await stage(context, database);
  assert.throws(() => on.drain.database({}), /^TypeError: Object is no pool or connection/);
  assert.throws(() => on.drain.database(null), /^TypeError: null is no pool/);
  assert.throws(() => on.drain.database(pg), /is no pool or connection of pg or mysql2/);
  const other = { addHook() {}, getDialect: () => 'sqlite' };
  assert.throws(() => on.drain.database(other), /no Knex or Sequelize on them/);
  const own = new pg.Pool(database.options);
  assert.throws(() => on.drain.database(own, { function: [] }), /unknown option: function/);
});

