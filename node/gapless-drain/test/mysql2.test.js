'use strict';
const assert = require('node:assert/strict');
const { test } = require('node:test');
const mysql = require('mysql2');
const mysqlPromise = require('mysql2/promise');
const { Draining } = require('../src/index.js');
const { withDatabase } = require('./database.js');
const { testDriver } = require('./driver.js');
const { openFixture } = require('./fixture.js');
const {
  assertNoCountLeft,
  promised,
  testEachWay,
  wayOf,
  waysOfBuilders,
} = require('./procedures.js');
const { until } = require('./rig.js');

const database = withDatabase('mariadb');
const CALL = 'CALL close_month(?)';

/** A fixture with a pool that counts. */
async function openPool(context, options = {}, { oneConnection, ...settings } = {}) {
  const fixture = await openFixture(context, database);
  if (oneConnection) settings.connectionLimit = 1;
  const all = { ...database.options, multipleStatements: true, ...settings };
  fixture.pool = fixture.drain.database(mysqlPromise.createPool(all), options);
  fixture.closeAfter(() => fixture.pool.end().catch(() => {}));
  return fixture;
}

const isWaiting = async (connection) => {
  const id = connection.threadId;
  const sql = `SELECT state FROM information_schema.processlist WHERE id = ${id}`;
  return /lock/i.test((await database.control.run(sql))[0]?.state);
};

const DRIVER = {
  database,
  callText: CALL,
  noValues: [],
  end: (own) => (own.promise ? own.promise() : own).end(),
  openPool,
  connect: (pool) => pool.getConnection(),
  release: (connection) => connection.release(),
  destroy: (connection) => connection.destroy(),
  streamOf: (connection) => connection.connection.stream,
  openConnections: (pool) => pool.pool._allConnections.length,
  execute: (own, sql, values) => own.execute(sql, values),
  executeWithCallback: (connection, sql, done) => connection.execute(sql, done),
  rowsOf: ([rows]) => rows,
  withTimeout: (run) => ({ sql: CALL, values: [run], timeout: 50 }),
  isWaiting,
  refused: (connection) => [
    () => connection.execute(CALL, [1]),
    () => connection.connection.query('CALL close_month(1)').stream().toArray(),
  ],
  callbackPool: (pool) => pool.pool,
  callbackConnect: (pool, callback) => {
    pool.getConnection((error, connection) => {
      callback(error, connection, () => connection.release());
    });
  },
  deaths: {
    'the database ends it': (connection) => database.control.kill(connection.threadId),
    'the socket is lost': ({ connection }) => connection.stream.destroy(new Error('lost')),
    'the socket is closed': ({ connection }) => connection.stream.destroy(),
  },
};

/** A way through what *make* of mysql2 returns. */
const by = (make, query) =>
  wayOf(DRIVER, async (drain, options) => drain.database(await make(options)), query);

/** What a command without a callback emits. */
const emitted = (command) =>
  new Promise((resolve, reject) => {
    const rows = [];
    command.on('result', (row) => rows.push(row));
    command.on('error', reject);
    command.on('end', () => resolve(rows));
  });

const withConnection = (work) => async (pool, sql, values) => {
  const connection = await pool.getConnection();
  try {
    return await work(connection, sql, values);
  } finally {
    connection.release();
  }
};

const ways = {
  'a pool': by(mysql.createPool, (own, sql, values) =>
    promised((done) => own.query(sql, values, done)),
  ),
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
  'promises of a pool': by(mysql.createPool, (own, sql, values) =>
    own.promise().query(sql, values),
  ),
  'a connection of a pool': by(mysql.createPool, (own, sql, values) =>
    promised((done) =>
      own.getConnection((error, connection) => {
        if (error) return done(error);
        connection.query(sql, values, (failed, rows) => {
          connection.release();
          done(failed, rows);
        });
      }),
    ),
  ),
  'a connection of a pool, and promises': by(
    mysqlPromise.createPool,
    withConnection((connection, sql, values) => connection.query(sql, values)),
  ),
  'a transaction': by(
    mysqlPromise.createPool,
    withConnection(async (connection, sql, values) => {
      await connection.beginTransaction();
      try {
        return await connection.query(sql, values);
      } finally {
        await connection.commit();
      }
    }),
  ),
  'a prepared statement': by(
    mysqlPromise.createPool,
    withConnection(async (connection, sql, values) => {
      const statement = await connection.prepare(sql);
      try {
        return await statement.execute(values);
      } finally {
        connection.unprepare(sql); // after close alone, mysql2 remembers it
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
    own.query('CALL ??(' + '?'.repeat(values.length) + ')', [
      sql.match(/\w+(?=\()/)[0],
      ...values,
    ]),
  ),
  'placeholders with names': by(
    (options) => mysqlPromise.createPool({ ...options, namedPlaceholders: true }),
    (own, sql, [run]) => own.query(sql.replace('?', ':run'), { run }),
  ),
  ...waysOfBuilders({
    client: 'mysql2',
    dialect: 'mysql',
    sequelizeText: 'CALL close_month($run)',
    bind: 'bind',
  }),
};

testEachWay(database, ways);
testDriver(DRIVER);

test('a procedure begins when it is queued', async (context) => {
  const fixture = await openPool(context, {}, { oneConnection: true });
  const { pool, run } = fixture;
  await fixture.lock();
  const called = [pool.query(CALL, [run]), pool.query(CALL, [run]), pool.execute(CALL, [run])];
  assert.equal(fixture.count, 3);
  await fixture.order('drain recycle');
  await fixture.unlock();
  await Promise.all(called);
  assert.equal((await fixture.steps()).length, 6);
  assert.equal(fixture.count, 0);
});

test('what is executed and cannot be prepared leaves no count behind', async (context) => {
  const fixture = await openPool(context);
  const connection = await fixture.pool.getConnection();
  for (const own of [fixture.pool, connection]) {
    await assert.rejects(own.execute('CALL no_such_procedure(?)', [1]), /no_such_procedure/);
    await assert.rejects(own.execute(CALL, [undefined]), /undefined/);
  }
  connection.release();
  assert.equal(fixture.count, 0);
});

test('a connection that is closed takes nothing, and leaves no count behind', async (context) => {
  const fixture = await openPool(context);
  for (const order of ['attached, then closed', 'closed, then attached']) {
    const own = await mysqlPromise.createConnection(database.options);
    own.on('error', () => {});
    if (order.startsWith('attached')) fixture.drain.database(own);
    const { stream } = own.connection;
    const closed = new Promise((resolve) => stream.once('close', resolve));
    own.destroy();
    await assert.rejects(own.execute(CALL, [1]), /closed state/, order);
    await closed;
    fixture.drain.database(own);
    await assert.rejects(own.execute(CALL, [1]), /closed state/, order);
    await assert.rejects(own.query('CALL close_month(1)'), /closed state/, order);
    assert.equal(fixture.count, 0, order);
  }
});

test('a cancelled procedure has ended', async (context) => {
  const fixture = await openPool(context);
  const { control } = database;
  const connection = await fixture.pool.getConnection();
  await control.run('START TRANSACTION');
  await control.run('UPDATE steps SET step = 1 WHERE run = 0');
  const called = connection.query('CALL close_books(?)', [fixture.run]);
  const waits = "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'";
  await until(async () => Number((await control.run(waits))[0].Value) > 0, 'the lock');
  assert.deepEqual(fixture.names, ['close_books']);
  const interrupted = assert.rejects(called, /interrupted/);
  await control.run(`KILL QUERY ${connection.threadId}`);
  await interrupted;
  assert.equal(fixture.count, 0);
  await control.run('ROLLBACK');
  await connection.rollback();
  assert.deepEqual(await fixture.steps(), []);
  connection.release();
});

test('a destroyed connection ends its procedures when the database has', async (context) => {
  const fixture = await openPool(context);
  const connection = await fixture.pool.getConnection();
  await fixture.lock();
  connection.query(CALL, [fixture.run]).catch(() => {});
  connection.query(CALL, [-1]).catch(() => {});
  await until(() => isWaiting(connection), 'the lock');
  connection.destroy();
  assert.equal(fixture.count, 2); // the first runs on in the database, and is not cut
  await fixture.unlock();
  await fixture.until(0);
  await until(async () => (await fixture.steps()).length === 2, 'its end');
});

test('a pool that ends or cannot connect leaves no count behind', async (context) => {
  const fixture = await openPool(context);
  const refused = { code: 'ECONNREFUSED' };
  const alone = mysqlPromise.createPool({ ...database.options, port: 1 });
  fixture.drain.database(alone);
  await assert.rejects(alone.query('CALL close_month(1)'), refused);
  await assert.rejects(alone.execute('CALL close_month(1)'), refused);
  await assert.rejects(emitted(alone.pool.query('CALL close_month(1)')), refused);
  assert.equal(fixture.count, 0);
  await alone.end();
  await fixture.pool.end();
  await assert.rejects(fixture.pool.query('CALL close_month(1)'), /closed/);
  assert.equal(fixture.count, 0);
  const limits = { connectionLimit: 1, queueLimit: 1 };
  const narrow = mysqlPromise.createPool({ ...database.options, ...limits });
  fixture.drain.database(narrow);
  const calls = [1, 2, 3].map(() => narrow.query('CALL close_month(-4)'));
  const statuses = (await Promise.allSettled(calls)).map(({ status }) => status);
  assert.deepEqual(statuses.sort(), ['fulfilled', 'fulfilled', 'rejected']);
  assert.equal(fixture.count, 0);
  await narrow.end();
});

test('whatever happens to many at once, no count is left', async (context) => {
  const fixture = await openPool(context, {}, { connectionLimit: 5 });
  const { pool } = fixture;
  const call = 'CALL close_month(-5)'; // they wait for each other
  const onConnection = async (work) => {
    const connection = await pool.getConnection();
    connection.on('error', () => {});
    try {
      await work(connection);
      connection.release();
    } catch (error) {
      connection.destroy();
      throw error;
    }
  };
  const whileCalling = (deed) =>
    onConnection((connection) => Promise.all([connection.query(call), deed(connection)]));
  await assertNoCountLeft(fixture, [
    () => pool.query(call),
    () => pool.execute(CALL, [-5]),
    () => pool.query({ sql: call, timeout: 1 }),
    () => pool.execute('CALL fail()'),
    () => promised((done) => pool.pool.query(call, done)),
    // Without a callback, the driver reports no connection that is lost.
    async () => void emitted(pool.pool.query(call)).catch(() => {}),
    () => whileCalling((connection) => connection.connection.stream.destroy()),
    () => whileCalling((connection) => database.control.kill(connection.threadId)),
    () =>
      onConnection((connection) =>
        Promise.race([connection.query(call), Promise.reject(new Error('given up'))]),
      ),
    () =>
      onConnection(async (connection) => {
        await connection.beginTransaction();
        await connection.query(call);
        await connection.query('CALL no_such_procedure()');
      }),
  ]);
});

test('calls that are prepared in SQL count, blocks, and several statements', async (context) => {
  const fixture = await openPool(context);
  const { run } = fixture;
  const connection = await fixture.pool.getConnection();
  await fixture.lock();
  await connection.query("PREPARE p FROM 'CALL close_month(?)'; SET @run = ?", [run]);
  const called = [
    connection.query('EXECUTE p USING @run'),
    connection.query('BEGIN NOT ATOMIC CALL close_month(?); END', [run]),
    connection.query('SELECT 1; /*! CALL close_month(?) */; # CALL nothing\n', [run]),
    connection.query('SET STATEMENT max_statement_time = 60 FOR CALL close_month(?)', [run]),
    connection.query("EXECUTE IMMEDIATE 'CALL close_month(?)' USING @run"),
  ];
  const names = [...Array(5).fill('close_month')];
  names[1] = 'BEGIN NOT ATOMIC';
  assert.deepEqual(fixture.names, names);
  await fixture.unlock();
  await Promise.all(called);
  assert.equal(fixture.count, 0);
  assert.equal((await fixture.steps()).length, 10); // each of them was one
  connection.release();
});

test('functions that are named count', async (context) => {
  const fixture = await openPool(context, { functions: ['pay'] });
  await fixture.lock();
  const called = fixture.pool.query('SELECT pay(?) AS paid', [fixture.run]);
  assert.deepEqual(fixture.names, ['pay']);
  await fixture.unlock();
  assert.deepEqual((await called)[0], [{ paid: fixture.run }]);
  await fixture.order('drain recycle');
  await assert.rejects(fixture.pool.query('SELECT PAY(1)'), /^Draining: pay:/);
});

test('if everything counts, a transaction is one procedure until it ends', async (context) => {
  const fixture = await openPool(context, { everyStatement: true });
  const connection = await fixture.pool.getConnection();
  await connection.beginTransaction();
  assert.deepEqual(fixture.names, ['transaction']);
  await fixture.order('drain recycle');
  await connection.execute('INSERT INTO steps VALUES (?, 1)', [fixture.run]); // it goes on
  await assert.rejects(fixture.pool.query('SELECT 1'), Draining);
  await connection.commit();
  assert.equal(fixture.count, 0);
  assert.deepEqual(await fixture.steps(), [1]);
  await assert.rejects(connection.query('SELECT 1'), Draining);
  await connection.rollback(); // never refused
  await fixture.order('undrain');
  await connection.beginTransaction();
  connection.destroy();
  await fixture.until(0);
});
