'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { Statements } = require('../src/statements.js');

const file = path.join(__dirname, '../../../spec/vectors/statements.json');
const { cases, every_statement: everyStatement } = JSON.parse(fs.readFileSync(file, 'utf8'));

for (const { name, dialects, functions, before = [], sql, procedures } of cases) {
  for (const dialect of dialects) {
    test(`${dialect}: ${name}`, () => {
      const statements = new Statements(dialect, { functions });
      // The second time it is remembered.
      for (let time = 1; time <= 2; time += 1) {
        const prepared = new Map();
        for (const text of before) statements.names(text, prepared);
        assert.deepEqual([...statements.names(sql, prepared)], procedures, sql);
      }
    });
  }
}

test('every statement has a name, if every one counts', () => {
  for (const { dialects, sql, procedures } of everyStatement) {
    for (const dialect of dialects) {
      const statements = new Statements(dialect, { everyStatement: true });
      assert.deepEqual([...statements.names(sql, new Map())], procedures, `${dialect}: ${sql}`);
    }
  }
});

test('no text makes the tokenizer throw, and what is read no further has no procedure', () => {
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
    const every = new Statements(dialect, { functions: ['p'], everyStatement: true });
    const some = new Statements(dialect);
    for (let run = 0; run < 5000; run += 1) {
      const drawn = Array.from({ length: random(20) }, () => pieces[random(pieces.length)]);
      const text = drawn.join('');
      every.names(text, new Map());
      if (!some.suspicious.test(text)) assert.deepEqual(some.read(text), [], text);
    }
  }
});

test('a long text is read in linear time, and not remembered', () => {
  for (const dialect of ['postgresql', 'mysql']) {
    const statements = new Statements(dialect);
    const long = `INSERT INTO t VALUES ${"('it''s call', 'a'), /* x */ ".repeat(20_000)} (1)`;
    assert.deepEqual([...statements.names(`${long}; CALL p()`, new Map())], ['p']);
    assert.deepEqual([...statements.names(`${long}; '${"''".repeat(100_000)}`, new Map())], []);
    assert.equal(statements.cache.size, 0);
  }
});

test('what is remembered has an end', () => {
  const statements = new Statements('mysql');
  for (let number = 0; number < 3000; number += 1) {
    assert.deepEqual(statements.names(`CALL p${number}()`, new Map()), [`p${number}`]);
  }
  assert.ok(statements.cache.size <= 1000);
});
