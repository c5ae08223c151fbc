'use strict';
// The rules for pools and connections, tested for each driver. A driver is an object with
//   database   see database.js
//   callText, noValues   the call of close_month; the values of a text without placeholders
//   end(own)   ends a pool or a connection
//   openPool(context, options, settings)   a fixture with `pool`, which counts
//   connect(pool), release(connection), destroy(connection)
//   streamOf(connection), openConnections(pool)   its socket; how many there are
//   execute(own, text, values)   another method than `query`, if there is one
//   executeWithCallback(connection, text, done)   the same with a callback
//   rowsOf(result)
//   withTimeout(run)   the call of close_month, with a time-out of 50 ms
//   isWaiting(connection)   whether the database waits for the lock of the call
//   refused(connection)   more ways to call, which are all refused
//   callbackPool(pool), callbackConnect(pool, callback)   the same with callbacks
//   deaths   how a connection can end

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Draining } = require('../src/index.js');
const { promised } = require('./procedures.js');
const { until } = require('./rig.js');

function testDriver(driver) {
  testRefusals(driver);
  testEndings(driver);
  testCallbacks(driver);
}

function testRefusals(driver) {
  test('a refusal sends no byte, and the connection goes on', async (context) => {
    const fixture = await driver.openPool(context);
    const connection = await driver.connect(fixture.pool);
    const stream = driver.streamOf(connection);
    await fixture.order('drain handoff');
    const bytesBefore = stream.bytesWritten;
    await assert.rejects(connection.query('CALL close_month(1)'), Draining);
    for (const call of driver.refused(connection)) await assert.rejects(call(), Draining);
    await assert.rejects(fixture.pool.query('CALL close_month(1)'), {
      name: 'Draining',
      message: /^close_month: this process drains/,
    });
    const byPool = driver.execute(fixture.pool, driver.callText, [1]);
    await assert.rejects(byPool, Draining);
    assert.equal(stream.bytesWritten, bytesBefore);
    assert.equal(driver.openConnections(fixture.pool), 1); // none was opened for it
    const result = await driver.execute(connection, 'SELECT 1 AS one');
    assert.deepEqual(driver.rowsOf(result), [{ one: 1 }]);
    driver.release(connection);
    assert.equal(fixture.count, 0);
  });

  test('what is handed over twice counts once', async (context) => {
    const fixture = await driver.openPool(context);
    const connection = await driver.connect(fixture.pool);
    fixture.drain.database(driver.callbackPool(fixture.pool));
    fixture.drain.database(connection);
    await fixture.lock();
    const called = connection.query(driver.callText, [fixture.run]);
    assert.equal(fixture.count, 1);
    await fixture.unlock();
    await called;
    driver.release(connection);
  });
}

function testEndings(driver) {
  test('a time-out of the client ends nothing in the database', async (context) => {
    const fixture = await driver.openPool(context);
    const connection = await driver.connect(fixture.pool);
    await fixture.lock();
    await assert.rejects(connection.query(driver.withTimeout(fixture.run)), /timeout/);
    assert.equal(fixture.count, 1);
    await fixture.unlock();
    await fixture.until(0);
    assert.deepEqual(await fixture.steps(), [1, 2]);
    driver.release(connection);
  });

  for (const [how, die] of Object.entries(driver.deaths)) {
    test(`a connection that dies ends its procedures, once: ${how}`, async (context) => {
      const fixture = await driver.openPool(context);
      const connection = await driver.connect(fixture.pool);
      connection.on('error', () => {});
      await fixture.lock();
      const called = [1, 2].map(() => connection.query(driver.callText, [fixture.run]));
      for (const each of called) each.catch(() => {});
      assert.equal(fixture.count, 2);
      await fixture.order('drain recycle');
      await until(() => driver.isWaiting(connection), 'the lock');
      await die(connection);
      for (const each of called) await assert.rejects(each);
      await fixture.until(0);
      assert.equal(fixture.drain.counts().finished.procedures, 2);
      await fixture.unlock();
      driver.destroy(connection);
    });
  }
}

function testCallbacks(driver) {
  test('a callback runs within the request of its caller', async (context) => {
    const fixture = await driver.openPool(context, {}, { oneConnection: true });
    const pool = driver.callbackPool(fixture.pool);
    let isServed = false;
    let callNow;
    const mayCall = new Promise((resolve) => (callNow = resolve));
    const callOn = (connection, done) => {
      connection.query('SELECT 1', () => {
        isServed = true;
        driver.executeWithCallback(connection, 'SELECT 1', () => {
          mayCall.then(() => {
            driver.executeWithCallback(connection, 'SELECT 1', () => {
              connection.query(driver.callText, [fixture.run], done);
            });
          });
        });
      });
    };
    const answer = fixture.request(async () => {
      await promised((done) => {
        driver.callbackConnect(pool, (error, connection, release) => {
          callOn(connection, (failed) => {
            release();
            done(failed);
          });
        });
      });
      return 'called';
    });
    await until(() => isServed, 'the request');
    await fixture.order('drain recycle');
    // Queued outside the request, it is answered by a connection that was opened within it.
    const outside = promised((done) => {
      pool.query('SELECT 1', () => pool.query('CALL close_month(-2)', done));
    });
    const refused = assert.rejects(outside, Draining);
    callNow();
    assert.equal((await answer).body, 'called');
    await refused;
    assert.deepEqual(await fixture.steps(), [1, 2]);
  });
}

module.exports = { testDriver };
