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
    const tickets = new Map();
    steps.forEach((step, now) => {
      const told = `step ${now}: ${JSON.stringify(step)}`;
      if (step.do === 'admit') {
        const ticket = core.admit(step.id, now);
        tickets.set(step.id, ticket);
        assert.equal(ticket.admitted, step.expect === 'admitted', told);
      } else if (step.do === 'begin') {
        let begun = true;
        try {
          tickets.set(step.id, core.begin(step.id, now, tickets.get(step.within)));
        } catch (error) {
          assert.ok(error instanceof Draining);
          begun = false;
        }
        assert.equal(begun, step.expect === 'begun', told);
      } else if (step.do === 'finish') {
        core.finish(tickets.get(step.id), now);
      } else {
        core.order(step.line);
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
        assert.deepEqual(flat[key], expected, `${told}: ${key}`);
      }
    });
  });
}

// A small generator whose seed is told, so that a failure can be repeated (mulberry32).
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
  const orders = ['drain leaving', 'drain handoff', 'drain recycle', 'undrain', 'noise'];
  for (let seed = 1; seed <= 300; seed += 1) {
    const random = randomFrom(seed);
    const core = new Core();
    const underWay = new Set();
    const over = [];
    for (let step = 0; step < 80; step += 1) {
      const list = [...underWay, ...over.slice(-2)];
      const any = list[random(list.length || 1)];
      const draining = core.isDraining;
      switch (random(5)) {
        case 0: {
          const ticket = core.admit('r', step);
          assert.equal(ticket.admitted, core.mode !== 'recycle');
          underWay.add(ticket);
          break;
        }
        case 1: {
          // What is over left something behind, which is within the request around it.
          const around = any && !underWay.has(any) ? any.within : any;
          const allowed = !draining || (underWay.has(around) && around.admitted);
          let ticket = null;
          try {
            ticket = core.begin('p', step, any);
          } catch {
            assert.ok(!allowed, `seed ${seed}`);
          }
          if (ticket !== null) {
            assert.ok(allowed, `seed ${seed}`);
            underWay.add(ticket);
          }
          break;
        }
        case 2:
        case 3:
          if (any) {
            core.finish(any, step);
            if (underWay.delete(any)) over.push(any);
          }
          break;
        default:
          core.order(orders[random(orders.length)]);
      }
      const kinds = [...underWay].map((ticket) => ticket.kind);
      const counts = core.counts(step);
      assert.equal(counts.requests, kinds.filter((k) => k === 'request').length);
      assert.equal(counts.procedures, kinds.filter((k) => k === 'procedure').length);
      assert.equal(core.isDrained, core.isDraining && underWay.size === 0);
    }
    for (const ticket of underWay) core.finish(ticket, 99);
    const { requests, procedures } = core.counts(99);
    assert.deepEqual([requests, procedures], [0, 0]);
  }
});
