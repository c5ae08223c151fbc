'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { Core, Draining } = require('../src/core.js');

const vectors = path.join(__dirname, '../../../spec/vectors/drain.json');
for (const { name, steps } of JSON.parse(fs.readFileSync(vectors, 'utf8')).cases) {
  test(`vector: ${name}`, () => {
    const core = new Core();
    const activities = new Map();
    steps.forEach((step, now) => {
      const where = `step ${now}: ${JSON.stringify(step)}`;
      if (step.do === 'admit') {
        const activity = core.admit(step.id, now);
        activities.set(step.id, activity);
        assert.equal(activity.admitted, step.expect === 'admitted', where);
      } else if (step.do === 'begin') {
        let begun = true;
        try {
          const parent = activities.get(step.within);
          activities.set(step.id, core.begin(step.id, now, parent));
        } catch (error) {
          assert.ok(error instanceof Draining);
          begun = false;
        }
        assert.equal(begun, step.expect === 'begun', where);
      } else if (step.do === 'finish') {
        core.finish(activities.get(step.id), now);
      } else {
        core.takeOrder(step.line);
      }
      const counts = core.counts(now);
      const flat = {
        ...counts,
        finished_requests: counts.finished.requests,
        finished_procedures: counts.finished.procedures,
        finished_named: counts.finished.named.map(({ name, for_s }) => [name, for_s]),
        running: counts.running.map(({ name }) => name),
        drained: core.isDrained,
      };
      for (const [key, expected] of Object.entries(step.counts || {})) {
        assert.deepEqual(flat[key], expected, `${where}: ${key}`);
      }
    });
  });
}

// A small generator; a failure shows its seed, so that it can be repeated (mulberry32).
function randomFrom(seed) {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

test('counts are exact in every order of events', () => {
  const orders = ['drain leaving', 'drain handoff', 'drain recycle', 'undrain', 'unknown'];
  for (let seed = 1; seed <= 300; seed += 1) {
    const random = randomFrom(seed);
    const core = new Core();
    const underWay = new Set();
    const finished = [];
    for (let step = 0; step < 80; step += 1) {
      const list = [...underWay, ...finished.slice(-2)];
      const any = list[random(list.length || 1)];
      const draining = core.isDraining;
      switch (random(5)) {
        case 0: {
          const request = core.admit('r', step);
          assert.equal(request.admitted, core.mode !== 'recycle');
          underWay.add(request);
          break;
        }
        case 1: {
          // What a finished procedure left behind is within its root.
          const around = any && !underWay.has(any) ? any.root : any;
          const allowed = !draining || (underWay.has(around) && around.admitted);
          let procedure = null;
          try {
            procedure = core.begin('p', step, any);
          } catch {
            assert.ok(!allowed, `seed ${seed}`);
          }
          if (procedure !== null) {
            assert.ok(allowed, `seed ${seed}`);
            underWay.add(procedure);
          }
          break;
        }
        case 2:
        case 3:
          if (any) {
            core.finish(any, step);
            if (underWay.delete(any)) finished.push(any);
          }
          break;
        default:
          core.takeOrder(orders[random(orders.length)]);
      }
      const kinds = [...underWay].map(({ kind }) => kind);
      const counts = core.counts(step);
      assert.equal(counts.requests, kinds.filter((k) => k === 'request').length);
      assert.equal(counts.procedures, kinds.filter((k) => k === 'procedure').length);
      assert.equal(core.isDrained, core.isDraining && underWay.size === 0);
    }
    for (const activity of underWay) core.finish(activity, 99);
    const { requests, procedures } = core.counts(99);
    assert.deepEqual([requests, procedures], [0, 0]);
  }
});
