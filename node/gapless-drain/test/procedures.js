'use strict';
// What holds for every way to call a stored procedure, whatever the driver.

const assert = require('node:assert/strict');
const http = require('node:http');
const { test } = require('node:test');
const { Drain, Draining } = require('../src/index.js');
const { FakeSupervisor, ask, until } = require('./rig.js');

let runs = 0;

/** A drain with a supervisor, a server whose requests do what the test says, and numbers. */
class Stage {
  constructor(context, database) {
    this.database = database;
    this.run = (runs += 1);
    this.closers = [];
    context.after(async () => {
      for (const close of this.closers.reverse()) await close();
    });
  }

  async open() {
    const supervisor = await new FakeSupervisor().listen();
    this.supervisor = supervisor;
    this.drain = new Drain({ environment: supervisor.environment, onSignal: null });
    this.closers.push(() => supervisor.close());
    this.closers.push(() => this.drain.close());
    await supervisor.until({ mode: 'serving' });
    return this;
  }

  closing(close) {
    this.closers.push(close);
  }

  get count() {
    return this.drain.counts().procedures;
  }

  get names() {
    return this.drain.counts().running.map(({ name }) => name);
  }

  async order(mode) {
    this.supervisor.order(mode);
    await this.supervisor.until({ mode: mode.split(' ').pop().replace('undrain', 'serving') });
  }

  until(count) {
    return until(() => this.count === count, `${count} procedures`);
  }

  lock(run = this.run) {
    return this.database.control.lock(run);
  }

  unlock(run = this.run) {
    return this.database.control.unlock(run);
  }

  /** How far a run has come in the tables. */
  async steps(run = this.run) {
    const rows = await this.database.control.run(`SELECT step FROM steps WHERE run = ${run}`);
    return rows.map(({ step }) => step).sort();
  }

  /** Run *work* within a request; what it returns is the answer. */
  async request(work) {
    const server = http.createServer((request, response) => {
      Promise.resolve(work()).then(
        (text) => response.end(String(text)),
        (error) => response.writeHead(500).end(String(error)),
      );
    });
    this.drain.attach(server);
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.closing(() => server.close());
    return ask(server.address().port);
  }
}

/** A stage for one test. */
function stage(context, database) {
  return new Stage(context, database).open();
}

/** Tell whether an error is, or wraps, a refusal. */
function isDraining(error) {
  return error instanceof Draining || error.original instanceof Draining;
}

/**
 * Check the rules for each way to call: `open(drain, options)` returns `call(run)`, which
 * calls close_month, `fail()`, which calls fail, and `close()`.
 */
function holdsForEachWay(database, ways) {
  for (const [name, open] of Object.entries(ways)) {
    test(`${name}: counts, refuses outside, goes on within, and ends with an error`, async (context) => {
      const on = await stage(context, database);
      const way = await open(on.drain, database.options);
      on.closing(() => way.close());

      await on.lock();
      const called = way.call(on.run);
      await on.until(1);
      assert.deepEqual(on.names, ['close_month']);
      let begin;
      const told = new Promise((resolve) => (begin = resolve));
      let isServed = false;
      const later = (runs += 1);
      const answer = on.request(async () => {
        isServed = true;
        await told;
        await way.call(later);
        return 'called';
      });
      await until(() => isServed, 'the request');
      await on.order('drain recycle');

      const never = (runs += 1);
      await assert.rejects(way.call(never), isDraining);
      assert.deepEqual(await on.steps(never), []);
      assert.equal(on.count, 1);
      await on.unlock();
      await called;
      await on.until(0);
      assert.deepEqual(await on.steps(), [1, 2]);

      begin();
      assert.equal((await answer).body, 'called');
      assert.deepEqual(await on.steps(later), [1, 2]);
      await on.supervisor.until({ procedures: 0, requests: 0 });
      assert.equal(on.drain.counts().finished.procedures, 2);

      await on.order('undrain');
      await assert.rejects(way.fail(), /it failed/);
      assert.equal(on.count, 0);
      assert.deepEqual(await way.call((runs += 1)).then(() => on.count), 0);
    });
  }
}

/**
 * Do *times* things at once, drawn with a seed that is told, from *deeds*; each may fail.
 * Afterwards nothing is counted, and what was counted was finished.
 */
async function leavesNothing(on, deeds, times = 200) {
  const seed = Date.now() & 0xffff;
  let state = seed;
  const random = (below) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >>> 8) % below;
  };
  await on.order('drain leaving'); // counts what is finished, refuses nothing
  let left = times;
  const client = async () => {
    while (left > 0) {
      left -= 1;
      await deeds[random(deeds.length)]().catch(() => {});
    }
  };
  await Promise.all(Array.from({ length: 8 }, client));
  await until(() => on.count === 0, `nothing under way, with seed ${seed}`);
  assert.ok(on.drain.counts().finished.procedures >= times / 2);
}

module.exports = { holdsForEachWay, isDraining, leavesNothing, stage };
