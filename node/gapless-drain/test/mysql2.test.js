'use strict';
const assert = require('node:assert/strict');
const { test } = require('node:test');
const knex = require('knex');
const mysql = require('mysql2');
const mysqlPromise = require('mysql2/promise');
const { Sequelize } = require('sequelize');
const { Draining } = require('../src/index.js');
const { withDatabase } = require('./database.js');
const { holdsForEachWay, leavesNothing, stage } = require('./procedures.js');
const { until } = require('./rig.js');

const database = withDatabase('mariadb');

const promised = (work) =>
  new Promise((resolve, reject) => work((error, result) => (error ? reject(error) : resolve(result))));

/** A way that has one thing open, made by *make*, and *query* to call through it. */
function by(make, query) {
  return async (drain, options) => {
    const own = drain.database(await make(options));
    return {
      call: async (run) => query(own, 'CALL close_month(?)', [run]),
      fail: async () => query(own, 'CALL fail()', []),
      close: () => (own.promise ? own.promise() : own).end(),
    };
  };
}

/** What a command without a callback emits. */
const emitted = (command) =>
  new Promise((resolve, reject) => {
    const rows = [];
    command.on('result', (row) => rows.push(row));
    command.on('error', reject);
    command.on('end', () => resolve(rows));
  });

const withConnection = (work) => async (pool, sql, values) => {
  const one = await pool.getConnection();
  try {
    return await work(one, sql, values);
  } finally {
    one.release();
  }
};

const ways = {
  'a pool': by(mysql.createPool, (own, sql, values) => promised((done) => own.query(sql, values, done))),
  'a pool, with an object': by(mysql.createPool, (own, sql, values) =>
    promised((done) => own.query({ sql, values }, done)),
  ),
  'a pool that executes': by(mysql.createPool, (own, sql, values) =>
    promised((done) => own.execute(sql, values, done)),
  ),
  'a pool that executes an object': by(mysql.createPool, (own, sql, values) =>
    promised((done) => own.execute({ sql, values }, done)),
  ),
  'a pool and events': by(mysql.createPool, (own, sql, values) => emitted(own.query(sql, values))),
  'a pool and a stream': by(mysql.createPool, (own, sql, values) =>
    own.query(sql, values).stream().toArray(),
  ),
  'a pool and promises': by(mysqlPromise.createPool, (own, sql, values) => own.query(sql, values)),
  'a pool that executes, and promises': by(mysqlPromise.createPool, (own, sql, values) =>
    own.execute(sql, values),
  ),
  'promises of a pool': by(mysql.createPool, (own, sql, values) => own.promise().query(sql, values)),
  'a connection of a pool': by(mysql.createPool, (own, sql, values) =>
    promised((done) =>
      own.getConnection((error, one) => {
        if (error) return done(error);
        one.query(sql, values, (failed, rows) => {
          one.release();
          done(failed, rows);
        });
      }),
    ),
  ),
  'a connection of a pool, and promises': by(
    mysqlPromise.createPool,
    withConnection((one, sql, values) => one.query(sql, values)),
  ),
  'a transaction': by(
    mysqlPromise.createPool,
    withConnection(async (one, sql, values) => {
      await one.beginTransaction();
      try {
        return await one.query(sql, values);
      } finally {
        await one.commit();
      }
    }),
  ),
  'a prepared statement': by(
    mysqlPromise.createPool,
    withConnection(async (one, sql, values) => {
      const statement = await one.prepare(sql);
      try {
        return await statement.execute(values);
      } finally {
        one.unprepare(sql); // close alone leaves it remembered
      }
    }),
  ),
  'a connection': by(mysql.createConnection, (own, sql, values) =>
    promised((done) => own.query(sql, values, done)),
  ),
  'a connection that executes': by(mysql.createConnection, (own, sql, values) =>
    promised((done) => own.execute(sql, values, done)),
  ),
  'a connection and events': by(mysql.createConnection, (own, sql, values) =>
    emitted(own.query(sql, values)),
  ),
  'a connection that executes, and events': by(mysql.createConnection, (own, sql, values) =>
    emitted(own.execute(sql, values)),
  ),
  'a connection and promises': by(mysqlPromise.createConnection, (own, sql, values) =>
    own.execute({ sql, values }),
  ),
  'names that are filled in': by(mysqlPromise.createPool, (own, sql, values) =>
    own.query('CALL ??(' + '?'.repeat(values.length) + ')', [sql.match(/\w+(?=\()/)[0], ...values]),
  ),
  'placeholders with names': by(
    (options) => mysqlPromise.createPool({ ...options, namedPlaceholders: true }),
    (own, sql, [run]) => own.query(sql.replace('?', ':run'), { run }),
  ),
  Knex: async (drain, connection) => {
    const own = drain.database(knex({ client: 'mysql2', connection }));
    return {
      call: async (run) => own.raw('CALL close_month(?)', [run]),
      fail: async () => own.raw('CALL fail()'),
      close: () => own.destroy(),
    };
  },
  'Knex in a transaction': async (drain, connection) => {
    const own = drain.database(knex({ client: 'mysql2', connection }));
    return {
      call: (run) => own.transaction((trx) => trx.raw('CALL close_month(?)', [run])),
      fail: () => own.transaction((trx) => trx.raw('CALL fail()')),
      close: () => own.destroy(),
    };
  },
  Sequelize: async (drain, { host, port, user, password, database: name }) => {
    const settings = { host, port, dialect: 'mysql', logging: false };
    const own = drain.database(new Sequelize(name, user, password, settings));
    return {
      call: (run) => own.query('CALL close_month($run)', { bind: { run } }),
      fail: () => own.query('CALL fail()'),
      close: () => own.close(),
    };
  },
};

holdsForEachWay(database, ways);

async function opened(context, options = {}, settings = {}) {
  const on = await stage(context, database);
  const pool = mysqlPromise.createPool({ ...database.options, multipleStatements: true, ...settings });
  on.pool = on.drain.database(pool, options);
  on.closing(() => on.pool.end().catch(() => {}));
  return on;
}

test('what is refused sends no byte, and the connection goes on', async (context) => {
  const on = await opened(context);
  const one = await on.pool.getConnection();
  const { stream } = one.connection;
  await on.order('drain handoff');
  const before = stream.bytesWritten;
  await assert.rejects(one.query('CALL close_month(1)'), Draining);
  await assert.rejects(one.execute('CALL close_month(?)', [1]), Draining);
  await assert.rejects(one.connection.query('CALL close_month(1)').stream().toArray(), Draining);
  const opened_ = on.pool.pool._allConnections.length;
  await assert.rejects(on.pool.query('CALL close_month(1)'), {
    name: 'Draining',
    message: /^close_month: this process drains/,
  });
  await assert.rejects(on.pool.execute('CALL close_month(?)', [1]), Draining);
  assert.equal(stream.bytesWritten, before);
  assert.equal(on.pool.pool._allConnections.length, opened_); // none was opened for it
  assert.deepEqual((await one.execute('SELECT 1 AS one'))[0], [{ one: 1 }]);
  one.release();
  assert.equal(on.count, 0);
});

test('a procedure begins when it is queued', async (context) => {
  const on = await opened(context, {}, { connectionLimit: 1 });
  await on.lock();
  const called = [
    on.pool.query('CALL close_month(?)', [on.run]),
    on.pool.query('CALL close_month(?)', [on.run]),
    on.pool.execute('CALL close_month(?)', [on.run]),
  ];
  assert.equal(on.count, 3);
  await on.order('drain recycle');
  await on.unlock();
  await Promise.all(called);
  assert.equal((await on.steps()).length, 6);
  assert.equal(on.count, 0);
});

test('what is executed and cannot be prepared leaves no count behind', async (context) => {
  const on = await opened(context);
  await assert.rejects(on.pool.execute('CALL no_such_procedure(?)', [1]), /no_such_procedure/);
  await assert.rejects(on.pool.execute('CALL close_month(?)', [undefined]), /undefined/);
  const one = await on.pool.getConnection();
  await assert.rejects(one.execute('CALL no_such_procedure(?)', [1]), /no_such_procedure/);
  await assert.rejects(one.execute('CALL close_month(?)', [undefined]), /undefined/);
  one.release();
  assert.equal(on.count, 0);
});

test('a connection that is closed takes nothing, and leaves no count behind', async (context) => {
  const on = await opened(context);
  for (const order of ['attached, then closed', 'closed, then attached']) {
    const own = await mysqlPromise.createConnection(database.options);
    own.on('error', () => {});
    if (order.startsWith('attached')) on.drain.database(own);
    const { stream } = own.connection;
    const closed = new Promise((resolve) => stream.once('close', resolve));
    own.destroy();
    await assert.rejects(own.execute('CALL close_month(?)', [1]), /closed state/, order);
    await closed;
    on.drain.database(own);
    await assert.rejects(own.execute('CALL close_month(?)', [1]), /closed state/, order);
    await assert.rejects(own.query('CALL close_month(1)'), /closed state/, order);
    assert.equal(on.count, 0, order);
  }
});

test('a time-out of the client ends nothing in the database', async (context) => {
  const on = await opened(context);
  const one = await on.pool.getConnection();
  await on.lock();
  const query = { sql: 'CALL close_month(?)', values: [on.run], timeout: 50 };
  await assert.rejects(one.query(query), /timeout/);
  assert.equal(on.count, 1);
  await on.unlock();
  await on.until(0);
  assert.deepEqual(await on.steps(), [1, 2]);
  one.release();
});

const isWaiting = async (one) => {
  const sql = `SELECT state FROM information_schema.processlist WHERE id = ${one.threadId}`;
  return /lock/i.test((await database.control.run(sql))[0]?.state);
};

test('a cancelled procedure has ended', async (context) => {
  const on = await opened(context);
  const { control } = database;
  const one = await on.pool.getConnection();
  await control.run('START TRANSACTION');
  await control.run('UPDATE steps SET step = 1 WHERE run = 0');
  const called = one.query('CALL close_books(?)', [on.run]);
  const waits = "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'";
  await until(async () => Number((await control.run(waits))[0].Value) > 0, 'the lock');
  assert.deepEqual(on.names, ['close_books']);
  const interrupted = assert.rejects(called, /interrupted/);
  await control.run(`KILL QUERY ${one.threadId}`);
  await interrupted;
  assert.equal(on.count, 0);
  await control.run('ROLLBACK');
  await one.rollback();
  assert.deepEqual(await on.steps(), []);
  one.release();
});

for (const [how, kill] of Object.entries({
  'the database ends it': (one) => database.control.kill(one.threadId),
  'the socket is lost': (one) => one.connection.stream.destroy(new Error('lost')),
  'the socket is closed': (one) => one.connection.stream.destroy(),
})) {
  test(`a connection that dies ends its procedures, once: ${how}`, async (context) => {
    const on = await opened(context);
    const one = await on.pool.getConnection();
    one.on('error', () => {});
    await on.lock();
    const called = [1, 2].map(() => one.query('CALL close_month(?)', [on.run]));
    for (const each of called) each.catch(() => {});
    assert.equal(on.count, 2);
    await on.order('drain recycle');
    await until(() => isWaiting(one), 'the lock');
    await kill(one);
    for (const each of called) await assert.rejects(each);
    await on.until(0);
    assert.equal(on.drain.counts().finished.procedures, 2);
    await on.unlock();
    one.destroy();
  });
}

test('a connection that is given up ends its procedures when the database has', async (context) => {
  const on = await opened(context);
  const one = await on.pool.getConnection();
  await on.lock();
  one.query('CALL close_month(?)', [on.run]).catch(() => {});
  one.query('CALL close_month(?)', [-1]).catch(() => {});
  await until(() => isWaiting(one), 'the lock');
  one.destroy();
  assert.equal(on.count, 2); // the first is under way there, and not cut
  await on.unlock();
  await on.until(0);
  await until(async () => (await on.steps()).length === 2, 'its end');
});

test('a pool that ends, and one that reaches nobody, leave no count behind', async (context) => {
  const on = await opened(context);
  const nobody = on.drain.database(mysqlPromise.createPool({ ...database.options, port: 1 }));
  await assert.rejects(nobody.query('CALL close_month(1)'), { code: 'ECONNREFUSED' });
  await assert.rejects(nobody.execute('CALL close_month(1)'), { code: 'ECONNREFUSED' });
  await assert.rejects(emitted(nobody.pool.query('CALL close_month(1)')), { code: 'ECONNREFUSED' });
  assert.equal(on.count, 0);
  await nobody.end();
  await on.pool.end();
  await assert.rejects(on.pool.query('CALL close_month(1)'), /closed/);
  assert.equal(on.count, 0);
  const narrow = mysqlPromise.createPool({ ...database.options, connectionLimit: 1, queueLimit: 1 });
  on.drain.database(narrow);
  const three = await Promise.allSettled([1, 2, 3].map(() => narrow.query('CALL close_month(-4)')));
  assert.deepEqual(three.map(({ status }) => status).sort(), ['fulfilled', 'fulfilled', 'rejected']);
  assert.equal(on.count, 0);
  await narrow.end();
});

test('whatever happens to many at once, no count is left', async (context) => {
  const on = await opened(context, {}, { connectionLimit: 5 });
  const call = 'CALL close_month(-5)'; // they wait for each other
  const withOne = async (work) => {
    const one = await on.pool.getConnection();
    one.on('error', () => {});
    try {
      await work(one);
      one.release();
    } catch (error) {
      one.destroy();
      throw error;
    }
  };
  await leavesNothing(on, [
    () => on.pool.query(call),
    () => on.pool.execute('CALL close_month(?)', [-5]),
    () => on.pool.query({ sql: call, timeout: 1 }),
    () => on.pool.execute('CALL fail()'),
    () => promised((done) => on.pool.pool.query(call, done)),
    // The driver tells nobody, if there is no callback and the connection is lost.
    async () => void emitted(on.pool.pool.query(call)).catch(() => {}),
    () => withOne((one) => Promise.all([one.query(call), one.connection.stream.destroy()])),
    () => withOne((one) => Promise.all([one.query(call), database.control.kill(one.threadId)])),
    () => withOne((one) => Promise.race([one.query(call), Promise.reject(new Error('given up'))])),
    () =>
      withOne(async (one) => {
        await one.beginTransaction();
        await one.query(call);
        await one.query('CALL no_such_procedure()');
      }),
  ]);
});

test('a callback runs within the request that it belongs to', async (context) => {
  const on = await opened(context, {}, { connectionLimit: 1 });
  const { pool } = on.pool;
  let isServed = false;
  let tell;
  const told = new Promise((resolve) => (tell = resolve));
  const answer = on.request(
    () =>
      new Promise((resolve, reject) => {
        pool.getConnection((error, one) => {
          one.query('SELECT 1', () => {
            isServed = true;
            told.then(() =>
              one.execute('SELECT 1', () =>
                one.query('CALL close_month(?)', [on.run], (failed) => {
                  one.release();
                  if (failed) reject(failed);
                  else resolve('called');
                }),
              ),
            );
          });
        });
      }),
  );
  await until(() => isServed, 'the request');
  await on.order('drain recycle');
  const outside = promised((done) =>
    pool.query('SELECT 1', () => pool.query('CALL close_month(-2)', done)),
  );
  const refused = assert.rejects(outside, Draining);
  tell();
  assert.equal((await answer).body, 'called');
  await refused;
  assert.deepEqual(await on.steps(), [1, 2]);
});

test('calls that are prepared in SQL count, blocks, and several statements', async (context) => {
  const on = await opened(context);
  const one = await on.pool.getConnection();
  await on.lock();
  await one.query("PREPARE p FROM 'CALL close_month(?)'; SET @run = ?", [on.run]);
  const called = [
    one.query('EXECUTE p USING @run'),
    one.query('BEGIN NOT ATOMIC CALL close_month(?); END', [on.run]),
    one.query('SELECT 1; /*! CALL close_month(?) */; # CALL nothing\n', [on.run]),
    one.query('SET STATEMENT max_statement_time = 60 FOR CALL close_month(?)', [on.run]),
    one.query("EXECUTE IMMEDIATE 'CALL close_month(?)' USING @run"),
  ];
  const names = [...Array(5).fill('close_month')];
  names[1] = 'BEGIN NOT ATOMIC';
  assert.deepEqual(on.names, names);
  await on.unlock();
  await Promise.all(called);
  assert.equal(on.count, 0);
  assert.equal((await on.steps()).length, 10); // each of them was one
  one.release();
});

test('functions that are named count', async (context) => {
  const on = await opened(context, { functions: ['pay'] });
  await on.lock();
  const called = on.pool.query('SELECT pay(?) AS paid', [on.run]);
  assert.deepEqual(on.names, ['pay']);
  await on.unlock();
  assert.deepEqual((await called)[0], [{ paid: on.run }]);
  await on.order('drain recycle');
  await assert.rejects(on.pool.query('SELECT PAY(1)'), /^Draining: pay:/);
});

test('if everything counts, a transaction is one procedure until it ends', async (context) => {
  const on = await opened(context, { everyStatement: true });
  const one = await on.pool.getConnection();
  await one.beginTransaction();
  assert.deepEqual(on.names, ['transaction']);
  await on.order('drain recycle');
  await one.execute('INSERT INTO steps VALUES (?, 1)', [on.run]); // it goes on
  await assert.rejects(on.pool.query('SELECT 1'), Draining);
  await one.commit();
  assert.equal(on.count, 0);
  assert.deepEqual(await on.steps(), [1]);
  await assert.rejects(one.query('SELECT 1'), Draining);
  await one.rollback(); // never refused
  await on.order('undrain');
  await one.beginTransaction();
  one.destroy();
  await on.until(0);
});

test('handed over twice it counts once', async (context) => {
  const on = await opened(context);
  const one = await on.pool.getConnection();
  on.drain.database(on.pool.pool);
  on.drain.database(one);
  await on.lock();
  const called = one.query('CALL close_month(?)', [on.run]);
  assert.equal(on.count, 1);
  await on.unlock();
  await called;
  one.release();
});
