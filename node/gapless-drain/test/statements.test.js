'use strict';
const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { ProcedureFinder } = require('../src/databases/sql/procedures.js');

const file = path.join(__dirname, '../../../spec/vectors/statements.json');
const { cases, every_statement: everyStatement } = JSON.parse(fs.readFileSync(file, 'utf8'));

for (const { name, dialects, functions, before = [], sql, procedures } of cases) {
  for (const dialect of dialects) {
    test(`${dialect}: ${name}`, () => {
      const finder = new ProcedureFinder(dialect, { functions });
      // The second time it is in the cache.
      for (let time = 1; time <= 2; time += 1) {
        const prepared = new Map();
        for (const text of before) finder.names(text, prepared);
        assert.deepEqual([...finder.names(sql, prepared)], procedures, sql);
      }
    });
  }
}

test('every statement has a name, if every one counts', () => {
  for (const { dialects, sql, procedures } of everyStatement) {
    for (const dialect of dialects) {
      const finder = new ProcedureFinder(dialect, { everyStatement: true });
      assert.deepEqual([...finder.names(sql, new Map())], procedures, `${dialect}: ${sql}`);
    }
  }
});

test('no text makes the tokenizer throw, and a text that is not read has no procedure', () => {
  const pieces = [
    ..."'\"`$;()/*-#\\?.!",
    ...['$a$', '--', '/*', '*/', '/*!', "E'", 'CALL', 'p', ' ', '\n', 'BEGIN', 'END', 'é', '1'],
    ...['PREPARE', 'EXECUTE', 'IMMEDIATE', 'AS', 'FROM', 'CREATE PROCEDURE', 'SET STATEMENT', 'FOR'],
  ];
  let state = 1;
  const random = (below) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >>> 8) % below;
  };
  for (const dialect of ['postgresql', 'mysql']) {
    const every = new ProcedureFinder(dialect, { functions: ['p'], everyStatement: true });
    const some = new ProcedureFinder(dialect);
    for (let run = 0; run < 5000; run += 1) {
      const drawn = Array.from({ length: random(20) }, () => pieces[random(pieces.length)]);
      const text = drawn.join('');
      every.names(text, new Map());
      if (!some.mayCall.test(text)) assert.deepEqual(some.read(text), [], text);
    }
  }
});

test('a long text is read in linear time, and not cached', () => {
  for (const dialect of ['postgresql', 'mysql']) {
    const finder = new ProcedureFinder(dialect);
    const long = `INSERT INTO t VALUES ${"('it''s call', 'a'), /* x */ ".repeat(20_000)} (1)`;
    assert.deepEqual([...finder.names(`${long}; CALL p()`, new Map())], ['p']);
    assert.deepEqual([...finder.names(`${long}; '${"''".repeat(100_000)}`, new Map())], []);
    assert.equal(finder.cache.size, 0);
  }
});

test('the cache has a limit', () => {
  const finder = new ProcedureFinder('mysql');
  for (let number = 0; number < 3000; number += 1) {
    assert.deepEqual(finder.names(`CALL p${number}()`, new Map()), [`p${number}`]);
  }
  assert.ok(finder.cache.size <= 1000);
});

test('a call through a pool that fails, and that nobody awaits, is not silent', () => {
  const app = `
    const { Drain } = require(${JSON.stringify(require.resolve('../src/index.js'))});
    const drain = new Drain({ environment: {}, onSignal: null });
    const pool = { connect() {}, Client: class {}, query: async () => { throw new Error('lost'); } };
    drain.database(pool).query('CALL close_month()');
    process.on('exit', () => console.log(drain.counts().procedures));`;
  const done = spawnSync(process.execPath, ['-e', app], { encoding: 'utf8' });
  assert.equal(done.status, 1);
  assert.match(done.stderr, /Error: lost/);
  assert.equal(done.stdout, '0\n');
});
