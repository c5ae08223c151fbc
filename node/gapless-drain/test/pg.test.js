'use strict';
const assert = require('node:assert/strict');
const { EventEmitter } = require('node:events');
const { test } = require('node:test');
const { setTimeout } = require('node:timers/promises');
const Cursor = require('pg-cursor');
const QueryStream = require('pg-query-stream');
const pg = require('pg');
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

const database = withDatabase('postgresql');
const CALL = 'CALL close_month($1)';

/** A fixture with a pool that counts. */
async function openPool(context, options = {}, { oneConnection, ...settings } = {}) {
  const fixture = await openFixture(context, database);
  if (oneConnection) settings.max = 1;
  const pool = new pg.Pool({ ...database.options, ...settings });
  fixture.pool = fixture.drain.database(pool, options);
  pool.on('error', () => {});
  fixture.closeAfter(() => (pool.ended || pool.ending ? undefined : pool.end()));
  return fixture;
}

const isWaiting = async (client) => {
  const pid = client.processID;
  const sql = `SELECT 1 FROM pg_locks WHERE pid = ${pid} AND locktype = 'advisory'`;
  return (await database.control.run(sql)).length > 0;
};

const DRIVER = {
  database,
  callText: CALL,
  noValues: undefined,
  end: (own) => own.end(),
  openPool,
  connect: (pool) => pool.connect(),
  release: (client) => client.release(),
  destroy: (client) => client.release(true),
  streamOf: (client) => client.connection.stream,
  openConnections: (pool) => pool.totalCount,
  execute: (own, sql, values) => own.query(sql, values),
  executeWithCallback: (client, sql, done) => client.query(sql, done),
  rowsOf: ({ rows }) => rows,
  withTimeout: (run) => ({ text: CALL, values: [run], query_timeout: 50 }),
  isWaiting,
  refused: (client) => [
    () => client.query(new QueryStream('CALL close_month(1)')).toArray(),
  ],
  callbackPool: (pool) => pool,
  callbackConnect: (pool, callback) => pool.connect(callback),
  deaths: {
    'the database ends it': (client) => database.control.kill(client.processID),
    'the socket is lost': (client) => client.connection.stream.destroy(),
    'the client ends it': (client) => client.end(),
  },
};

const byPool = (query) =>
  wayOf(DRIVER, (drain, options) => drain.database(new pg.Pool(options)), query);

const connect = async (drain, options) => {
  const client = drain.database(new pg.Client(options));
  await client.connect();
  return client;
};
const byClient = (query) => wayOf(DRIVER, connect, query);

const withClient = (work) => async (pool, sql, values) => {
  const client = await pool.connect();
  try {
    return await work(client, sql, values);
  } finally {
    client.release();
  }
};

const ways = {
  'a pool': byPool((own, sql, values) => own.query(sql, values)),
  'a pool, with an object': byPool((own, text, values) => own.query({ text, values })),
  'a pool, with a name': byPool((own, text, values) =>
    own.query({ name: `${text}!`, text, values }),
  ),
  'a pool, with a callback': byPool((own, sql, values) =>
    promised((done) => own.query(sql, values, done)),
  ),
  'a pool, and a client of it with a callback': byPool((own, sql, values) =>
    promised((done) =>
      own.connect((error, client, release) => {
        if (error) return done(error);
        client.query(sql, values, (failed, result) => {
          release();
          done(failed, result);
        });
      }),
    ),
  ),
  'a transaction': byPool(
    withClient(async (client, sql, values) => {
      try {
        await client.query('BEGIN');
        const result = await client.query(sql, values);
        await client.query('COMMIT');
        return result;
      } catch (error) {
        await client.query('ROLLBACK');
        throw error;
      }
    }),
  ),
  'a client': byClient((own, sql, values) => own.query(sql, values)),
  'a client, with a callback': byClient((own, sql, values) =>
    promised((done) => own.query(sql, values, done)),
  ),
  'a client, with a callback and an object': byClient((own, text, values) =>
    promised((done) => own.query({ text, values }, done)),
  ),
  'a query object': byClient((own, sql, values) =>
    promised((done) => own.query(new pg.Query(sql, values, done))),
  ),
  'a cursor': byPool(
    withClient(async (client, sql, values) => {
      const cursor = client.query(new Cursor(sql, values));
      const rows = await cursor.read(10);
      await cursor.close();
      return rows;
    }),
  ),
  'a query stream': byPool(
    withClient(async (client, sql, values) => {
      const rows = [];
      for await (const row of client.query(new QueryStream(sql, values))) rows.push(row);
      return rows;
    }),
  ),
  ...waysOfBuilders({
    client: 'pg',
    dialect: 'postgres',
    sequelizeText: 'CALL close_month(:run)',
    bind: 'replacements',
  }),
};

testEachWay(database, ways);
testDriver(DRIVER);

test('a procedure begins when it is queued', async (context) => {
  const fixture = await openPool(context, {}, { oneConnection: true });
  await fixture.lock();
  const first = fixture.pool.query(CALL, [fixture.run]);
  const second = fixture.pool.query('CALL fail()');
  assert.equal(fixture.count, 2);
  await fixture.order('drain recycle');
  const failed = assert.rejects(second, /it failed/); // it was executed
  await fixture.unlock();
  await first;
  await failed;
  assert.equal(fixture.count, 0);
});

test('a name without its text is known', async (context) => {
  const fixture = await openPool(context);
  const { pool, run } = fixture;
  const client = await pool.connect();
  await fixture.lock();
  const called = client.query({ name: 'close', text: CALL, values: [run] });
  assert.deepEqual(fixture.names, ['close_month']);
  await fixture.unlock();
  await called;
  const again = client.query({ name: 'close', values: [run] });
  assert.deepEqual(fixture.names, ['close_month']);
  await again;
  client.release();
  await pool.query({ name: 'by pool', text: CALL, values: [run] });
  assert.equal(await pool.connect(), client);
  await fixture.order('drain recycle');
  await assert.rejects(client.query({ name: 'close', values: [run] }), Draining);
  await assert.rejects(client.query({ name: 'by pool', values: [run] }), Draining);
  client.release();
});

test('the same object may be handed over again and again', async (context) => {
  const fixture = await openPool(context);
  const query = Object.freeze({ text: CALL, values: [fixture.run] });
  await Promise.all([1, 2, 3].map(() => fixture.pool.query(query)));
  assert.equal((await fixture.steps()).length, 6);
  assert.equal(fixture.count, 0);
});

test('a time-out in the queue ends what never began', async (context) => {
  const fixture = await openPool(context);
  const client = await fixture.pool.connect();
  await fixture.lock();
  const first = client.query(CALL, [fixture.run]);
  await assert.rejects(client.query(DRIVER.withTimeout(-1)), /timeout/);
  assert.equal(fixture.count, 1);
  await fixture.unlock();
  await first;
  assert.equal(fixture.count, 0);
  client.release();
});

test('a cancelled procedure has ended', async (context) => {
  const fixture = await openPool(context);
  const client = await fixture.pool.connect();
  await fixture.lock();
  const called = client.query(CALL, [fixture.run]);
  await until(() => isWaiting(client), 'the lock');
  const cancelled = assert.rejects(called, /canceling statement/);
  await database.control.run(`SELECT pg_cancel_backend(${client.processID})`);
  await cancelled;
  assert.equal(fixture.count, 0);
  await fixture.unlock();
  assert.deepEqual(await fixture.steps(), []);
  client.release();
});

test('a pool that ends or cannot connect leaves no count behind', async (context) => {
  const fixture = await openPool(context);
  await fixture.pool.end();
  await assert.rejects(fixture.pool.query('CALL close_month(1)'), /after calling end/);
  assert.equal(fixture.count, 0);
  const refused = { code: 'ECONNREFUSED' };
  const alone = fixture.drain.database(new pg.Pool({ ...database.options, port: 1 }));
  await assert.rejects(alone.query('CALL close_month(1)'), refused);
  const calledBack = promised((done) => alone.query('CALL close_month(1)', done));
  await assert.rejects(calledBack, refused);
  assert.equal(fixture.count, 0);
  await alone.end();
});

test('whatever happens to many at once, no count is left', async (context) => {
  const fixture = await openPool(context, {}, { max: 5, query_timeout: 300 });
  const { pool } = fixture;
  const call = 'CALL close_month(-5)'; // they wait for each other
  const onClient = async (work) => {
    const client = await pool.connect();
    client.on('error', () => {});
    let failed = false;
    try {
      await work(client);
    } catch (error) {
      failed = true;
      throw error;
    } finally {
      client.removeAllListeners('error');
      client.on('error', () => {});
      client.release(failed);
    }
  };
  const whileCalling = (deed) =>
    onClient((client) => Promise.all([client.query(call), deed(client)]));
  await assertNoCountLeft(fixture, [
    () => pool.query(call),
    () => pool.query({ text: CALL, values: [-5], query_timeout: 1 }),
    () => pool.query('CALL fail()'),
    () => promised((done) => pool.query(call, done)),
    () => whileCalling((client) => client.connection.stream.destroy()),
    () => whileCalling((client) => database.control.kill(client.processID)),
    () =>
      onClient(async (client) => {
        await client.query('BEGIN');
        await client.query(call);
        await client.query('CALL no_such_procedure()');
      }),
    // A stream whose connection ends while it closes never closes (pg-cursor waits for an
    // answer to its Close); what it called has ended all the same.
    () =>
      onClient((client) =>
        Promise.race([
          client.query(new QueryStream(call)).toArray(),
          setTimeout(5000, undefined, { ref: false }).then(() => assert.fail('it hangs')),
        ]),
      ),
  ]);
});

test('blocks count, and several statements', async (context) => {
  const fixture = await openPool(context);
  const { pool, run } = fixture;
  await fixture.lock();
  const block = pool.query(`DO $$ BEGIN CALL close_month(${run}); END $$`);
  const both = pool.query(`SELECT 1; CALL close_month(${run}); /* ; */ CALL close_month(-3)`);
  assert.deepEqual(fixture.names, ['DO', 'close_month', 'close_month']);
  await fixture.unlock();
  await block;
  assert.equal((await both).length, 3);
  assert.equal(fixture.count, 0);
});

test('functions that are named count, and prepared statements with them', async (context) => {
  const fixture = await openPool(context, { functions: ['pay'] });
  const client = await fixture.pool.connect();
  await fixture.lock();
  const called = client.query('WITH a AS (SELECT pay($1) AS b) SELECT b FROM a', [fixture.run]);
  assert.deepEqual(fixture.names, ['pay']);
  await fixture.unlock();
  assert.deepEqual((await called).rows, [{ b: fixture.run }]);
  await client.query('PREPARE p AS SELECT pay($1)');
  await fixture.order('drain recycle');
  await assert.rejects(client.query('EXECUTE p(1)'), /^Draining: pay:/);
  assert.equal((await client.query('SELECT 1')).rowCount, 1);
  client.release();
});

test('if everything counts, a transaction is one procedure until it ends', async (context) => {
  const fixture = await openPool(context, { everyStatement: true });
  const { pool, run } = fixture;
  const client = await pool.connect();
  await client.query('SELECT 1');
  assert.equal(fixture.count, 0);
  await client.query('SELECT 1; BEGIN');
  assert.deepEqual(fixture.names, ['transaction']);
  await fixture.order('drain recycle');
  await client.query('INSERT INTO steps VALUES ($1, 1)', [run]); // it goes on
  await assert.rejects(pool.query('SELECT 1'), Draining);
  await client.query('SAVEPOINT a; ROLLBACK TO a');
  assert.equal(fixture.count, 1);
  await client.query('COMMIT');
  assert.equal(fixture.count, 0);
  assert.deepEqual(await fixture.steps(), [1]);
  await assert.rejects(client.query('SELECT 1'), Draining);
  await client.query('ROLLBACK'); // never refused
  await fixture.order('undrain');
  await client.query('BEGIN');
  client.release(true);
  await fixture.until(0);
  const answer = await fixture.request(async () => {
    await pool.query('SELECT 1');
    return fixture.count;
  });
  assert.equal(answer.body, '0');
});

class ForeignClient extends EventEmitter {
  connect(callback) {
    callback(null);
  }

  end(callback) {
    callback();
  }
}

test('a pool with clients of another kind is refused, and keeps none', async (context) => {
  const fixture = await openFixture(context, database);
  const own = fixture.drain.database(new pg.Pool({ Client: ForeignClient }));
  await assert.rejects(own.query('SELECT 1'), /^TypeError: pg-native has no connection/);
  await assert.rejects(own.connect(), /^TypeError: pg-native/);
  assert.equal(own.totalCount, 0);
  await assert.rejects(own.query('CALL p()'), /^TypeError: pg-native/);
  assert.equal(fixture.count, 0);
});

test('an object that is none of these is named in the error', async (context) => {
  const { drain } = await openFixture(context, database);
  assert.throws(() => drain.database({}), /^TypeError: Object is no pool or connection/);
  assert.throws(() => drain.database(null), /^TypeError: null is no pool/);
  assert.throws(() => drain.database(pg), /is no pool or connection of pg or mysql2/);
  const other = { addHook() {}, getDialect: () => 'sqlite' };
  assert.throws(() => drain.database(other), /no Knex or Sequelize on them/);
  const own = new pg.Pool(database.options);
  assert.throws(() => drain.database(own, { function: [] }), /unknown option: function/);
});
