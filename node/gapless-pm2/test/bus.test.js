'use strict';
const assert = require('node:assert/strict');
const { test } = require('node:test');

const { changes } = require('../src/bus.js');

/** Return a list of one process. */
function list(pid, status, restarts) {
  return new Map([[0, { pm_id: 0, pid, pm2_env: { status, restart_time: restarts } }]]);
}

/** Return the events between each two of some lists. */
function events(...lists) {
  const restarts = new Map();
  return lists
    .slice(1)
    .map((now, place) => changes(lists[place], now, restarts).map(({ event }) => event));
}

test('a restart is told whatever was seen in the middle of it', () => {
  const before = [new Map(), list(7, 'online', 0)];
  const after = list(8, 'online', 1);
  assert.deepEqual(events(...before, after), [['online'], ['exit', 'online', 'restart']]);
  for (const between of [
    list(0, 'waiting restart', 0),
    list(0, 'waiting restart', 1),
    list(8, 'launching', 1),
  ]) {
    assert.deepEqual(events(...before, between, after), [
      ['online'],
      ['exit'],
      ['online', 'restart'],
    ]);
  }
});

test('a first start and one after a stop are no restarts', () => {
  assert.deepEqual(
    events(
      new Map(),
      list(7, 'launching', 0),
      list(7, 'online', 0),
      list(0, 'stopped', 0),
      list(8, 'launching', 0),
      list(8, 'online', 0),
      new Map(),
    ),
    [[], ['online'], ['exit', 'stop'], [], ['online'], ['exit', 'delete']],
  );
});

test('one that was there before is known', () => {
  const restarts = new Map();
  changes(new Map(), list(7, 'online', 3), restarts);
  const found = changes(list(7, 'online', 3), list(8, 'online', 4), restarts);
  assert.deepEqual(found.map(({ event }) => event), ['exit', 'online', 'restart']);
});

test('a count that was set to 0 goes on from there', () => {
  const before = [new Map(), list(7, 'online', 5)];
  const reset = list(7, 'online', 0);
  const told = ['exit', 'online', 'restart'];
  assert.deepEqual(events(...before, reset, list(8, 'online', 1)), [['online'], [], told]);
  assert.deepEqual(events(...before, list(8, 'online', 1)), [['online'], told]);
});
