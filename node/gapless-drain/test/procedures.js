'use strict';
// The rules for every way to call a stored procedure, whatever the driver.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const knex = require('knex');
const { Sequelize } = require('sequelize');
const { Draining } = require('../src/index.js');
const { nextRun, openFixture } = require('./fixture.js');
const { until } = require('./rig.js');

/** Call *work* with a callback; return a promise of its result. */
const promised = (work) =>
  new Promise((resolve, reject) => {
    work((error, result) => (error ? reject(error) : resolve(result)));
  });

/** Return whether an error is, or wraps, a refusal. */
function isDraining(error) {
  return error instanceof Draining || error.original instanceof Draining;
}

/**
 * A way to call through what *make* returns: *query* gets that object, a text and values.
 * `noValues` of the driver are the values of a text without placeholders.
 */
function wayOf({ callText, noValues, end }, make, query) {
  return async (drain, options) => {
    const own = await make(drain, options);
    return {
      call: async (run) => query(own, callText, [run]),
      fail: async () => query(own, 'CALL fail()', noValues),
      close: () => end(own),
    };
  };
}

/** The ways through Knex and Sequelize; *bind* is how Sequelize is given values. */
function waysOfBuilders({ client, dialect, sequelizeText, bind }) {
  return {
    Knex: async (drain, connection) => {
      const own = drain.database(knex({ client, connection }));
      return {
        call: async (run) => own.raw('CALL close_month(?)', [run]),
        fail: async () => own.raw('CALL fail()'),
        close: () => own.destroy(),
      };
    },
    'Knex in a transaction': async (drain, connection) => {
      const own = drain.database(knex({ client, connection }));
      return {
        call: (run) => own.transaction((trx) => trx.raw('CALL close_month(?)', [run])),
        fail: () => own.transaction((trx) => trx.raw('CALL fail()')),
        close: () => own.destroy(),
      };
    },
    Sequelize: async (drain, { host, port, user, password, database: name }) => {
      const settings = { host, port, dialect, logging: false };
      const own = drain.database(new Sequelize(name, user, password, settings));
      return {
        call: (run) => own.query(sequelizeText, { [bind]: { run } }),
        fail: () => own.query('CALL fail()'),
        close: () => own.close(),
      };
    },
  };
}

/**
 * Test the rules for each way to call. A way is `open(drain, options)`; it returns `call(run)`,
 * which calls close_month, `fail()`, which calls fail, and `close()`.
 */
function testEachWay(database, ways) {
  for (const [name, open] of Object.entries(ways)) {
    test(`${name}: counts, is refused, goes on within, ends with an error`, async (context) => {
      const fixture = await openFixture(context, database);
      const way = await open(fixture.drain, database.options);
      fixture.closeAfter(() => way.close());

      await fixture.lock();
      const called = way.call(fixture.run);
      await fixture.until(1);
      assert.deepEqual(fixture.names, ['close_month']);
      let callNow;
      const mayCall = new Promise((resolve) => (callNow = resolve));
      let isServed = false;
      const later = nextRun();
      const answer = fixture.request(async () => {
        isServed = true;
        await mayCall;
        await way.call(later);
        return 'called';
      });
      await until(() => isServed, 'the request');
      await fixture.order('drain recycle');

      const never = nextRun();
      await assert.rejects(way.call(never), isDraining);
      assert.deepEqual(await fixture.steps(never), []);
      assert.equal(fixture.count, 1);
      await fixture.unlock();
      await called;
      await fixture.until(0);
      assert.deepEqual(await fixture.steps(), [1, 2]);

      callNow();
      assert.equal((await answer).body, 'called');
      assert.deepEqual(await fixture.steps(later), [1, 2]);
      await fixture.supervisor.until({ procedures: 0, requests: 0 });
      assert.equal(fixture.drain.counts().finished.procedures, 2);

      await fixture.order('undrain');
      await assert.rejects(way.fail(), /it failed/);
      assert.equal(fixture.count, 0);
      assert.deepEqual(await way.call(nextRun()).then(() => fixture.count), 0);
    });
  }
}

/**
 * Do *times* things at once, drawn from *deeds* with a seed that a failure shows; each may
 * fail. Afterwards nothing is under way, and what was counted was finished.
 */
async function assertNoCountLeft(fixture, deeds, times = 200) {
  const seed = Date.now() & 0xffff;
  let state = seed;
  const random = (below) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >>> 8) % below;
  };
  await fixture.order('drain leaving'); // counts what is finished, refuses nothing
  let left = times;
  const client = async () => {
    while (left > 0) {
      left -= 1;
      await deeds[random(deeds.length)]().catch(() => {});
    }
  };
  await Promise.all(Array.from({ length: 8 }, client));
  await until(() => fixture.count === 0, `nothing under way, with seed ${seed}`);
  assert.ok(fixture.drain.counts().finished.procedures >= times / 2);
}

module.exports = { assertNoCountLeft, promised, testEachWay, wayOf, waysOfBuilders };
