'use strict';
// Which statements are stored procedures, and under what names they count: a tokenizer that
// knows quotes and comments, and no grammar beyond what a call looks like. The cases are
// those of spec/vectors/statements.json. No I/O.

const { tokens } = require('./tokens.js');

const MOST_CACHED = 1000;
const LONGEST_CACHED = 4096;
const TRANSACTION = 'transaction';
const NOTHING = Object.freeze([]);
// Before these words a name and a bracket are no call: a table, an alias, a declaration.
const NAMES_FOLLOW = new Set(
  'INTO WITH RECURSIVE AS TABLE REFERENCES FUNCTION PROCEDURE'.split(' '),
);
const DECLARATIONS = new Set('ALTER DROP GRANT REVOKE COMMENT SECURITY SHOW'.split(' '));
const MADE = new Set(
  'TABLE MATERIALIZED VIEW INDEX PROCEDURE FUNCTION TRIGGER EVENT PACKAGE AGGREGATE'.split(' '),
);
const WITH_BODY = new Set('PROCEDURE FUNCTION TRIGGER EVENT PACKAGE'.split(' '));
const BLOCKS_OF_THEIR_OWN = new Set('IF LOOP WHILE REPEAT FOR'.split(' '));
const TRANSACTION_ENDS = new Set('COMMIT ROLLBACK END ABORT'.split(' '));
// What only sets up other statements, or ends what they left.
const SET_UP = new Set(
  'SET RESET USE SAVEPOINT RELEASE DEALLOCATE DISCARD CLOSE UNLISTEN'.split(' '),
);

/** Knows the statements of one dialect, with the functions that are procedures. */
class Statements {
  /** *dialect*: postgresql or mysql, which is MariaDB too. */
  constructor(dialect, { functions = [], everyStatement = false } = {}) {
    this.dialect = dialect;
    this.everyStatement = everyStatement;
    this.functions = new Map(functions.map((name) => [name.toLowerCase(), name]));
    this.cache = new Map();
    this.suspicious = suspicion(dialect, [...this.functions.keys()]);
  }

  /** What a text does, in order; the same list for the same text. */
  steps(text) {
    const known = this.cache.get(text);
    if (known !== undefined) return known;
    const steps = this.everyStatement || this.suspicious.test(text) ? this.read(text) : NOTHING;
    if (text.length <= LONGEST_CACHED) {
      if (this.cache.size >= MOST_CACHED) this.cache.delete(this.cache.keys().next().value);
      this.cache.set(text, steps);
    }
    return steps;
  }

  /** The names of the procedures that a text runs; `prepared` belongs to its connection. */
  names(text, prepared) {
    const steps = this.steps(text);
    return steps.length === 0 ? NOTHING : namesOf(steps, prepared);
  }

  read(text) {
    const steps = [];
    for (const statement of split(tokens(text, this.dialect), this.dialect)) {
      const before = steps.length;
      this.readOne(statement, steps);
      if (this.everyStatement && !steps.slice(before).some(({ does }) => does !== 'prepare')) {
        const step = ofEvery(statement);
        if (step !== null) steps.push(step);
      }
    }
    return steps;
  }

  readOne(all, steps) {
    const [first, second] = all;
    let rest = all;
    if (is(first, 'CALL')) {
      const { name, next } = this.nameAt(all, 1);
      steps.push({ does: 'call', name: name || 'CALL' });
      rest = all.slice(next);
    } else if (this.dialect === 'postgresql' ? is(first, 'DO') : isBlock(all)) {
      steps.push({ does: 'call', name: isBlock(all) ? 'BEGIN NOT ATOMIC' : 'DO' });
      return;
    } else if (is(first, 'PREPARE') && !is(second, 'TRANSACTION')) {
      this.readPrepare(all, steps);
      return;
    } else if (is(first, 'EXECUTE')) {
      this.readExecute(all, steps);
    } else if (is(first, 'SET') && is(second, 'STATEMENT') && this.dialect === 'mysql') {
      const inner = all.findIndex((token) => is(token, 'FOR'));
      if (inner > 0) this.readOne(all.slice(inner + 1), steps);
      return;
    } else if (isDeclaration(all)) {
      return;
    } else if (is(first, 'EXPLAIN') || is(first, 'CREATE')) {
      const execute = all.findIndex((token, at) => at > 0 && is(token, 'EXECUTE'));
      if (execute > 0) this.readExecute(all.slice(execute), steps);
    }
    for (const name of this.functionsIn(rest)) steps.push({ does: 'call', name });
  }

  readPrepare(all, steps) {
    const { name, next } = this.nameAt(all, 1);
    const key = this.key(name);
    const inner = [];
    if (this.dialect === 'postgresql') {
      const as = all.findIndex((token, at) => at >= next && is(token, 'AS'));
      if (as > 0) this.readOne(all.slice(as + 1), inner);
    } else if (isWhole(all.slice(next + 1))) {
      inner.push(...this.read(all[next + 1].text));
    } else {
      steps.push({ does: 'prepare', key, names: null });
      return;
    }
    steps.push({ does: 'prepare', key, names: namesOf(inner, new Map()) });
  }

  readExecute(all, steps) {
    if (this.dialect === 'postgresql' || !is(all[1], 'IMMEDIATE')) {
      const { name } = this.nameAt(all, 1);
      steps.push({ does: 'execute', key: this.key(name), name: `EXECUTE ${name}` });
    } else if (isWhole(all.slice(2))) {
      steps.push(...this.read(all[2].text));
    } else {
      steps.push({ does: 'call', name: 'EXECUTE IMMEDIATE' });
    }
  }

  /** How a prepared statement is found again. */
  key(name) {
    return this.dialect === 'postgresql' ? name : name.toLowerCase();
  }

  /** The name that begins at a token, and where it is over. */
  nameAt(all, at) {
    const parts = [];
    let next = at;
    for (;;) {
      const token = all[next];
      if (token === undefined) break;
      if (!['word', 'name', 'either'].includes(token.kind)) break;
      parts.push(this.folded(token));
      next += 1;
      if (all[next] === undefined || all[next].text !== '.') break;
      next += 1;
    }
    return { name: parts.join('.'), next };
  }

  folded({ kind, text }) {
    return kind === 'word' && this.dialect === 'postgresql' ? text.toLowerCase() : text;
  }

  /** The named functions that are called in a statement. */
  functionsIn(all) {
    if (this.functions.size === 0) return NOTHING;
    const found = new Set();
    for (let at = 0; at < all.length - 1; at += 1) {
      const token = all[at];
      if (token.kind !== 'word' && token.kind !== 'name') continue;
      if (all[at + 1].text !== '(' || all[at + 1].kind !== 'sign') continue;
      const isQualified = at > 1 && all[at - 1].text === '.';
      const own = token.text.toLowerCase();
      const whole = isQualified ? `${all[at - 2].text.toLowerCase()}.${own}` : own;
      const before = all[isQualified ? at - 3 : at - 1];
      const name = this.functions.get(whole) ?? this.functions.get(own);
      if (name === undefined) continue;
      if (before !== undefined && NAMES_FOLLOW.has(wordOf(before))) continue;
      found.add(name);
    }
    return found;
  }
}

/** What names the steps of a text come to on a connection; `all`: not procedures alone. */
function namesOf(steps, prepared, all = true) {
  const names = [];
  for (const step of steps) {
    if (step.does === 'call' || (step.does === 'state' && all)) {
      names.push(step.name);
    } else if (step.does === 'prepare') {
      prepared.set(step.key, step.names);
    } else if (step.does === 'execute') {
      // What was prepared out of sight may be a call.
      names.push(...(prepared.get(step.key) ?? [step.name]));
    }
  }
  return names;
}

/** A statement that counts only because every one does; null if it does not. */
function ofEvery(all) {
  const verb = wordOf(all[0]);
  if (verb === 'BEGIN' || (verb === 'START' && is(all[1], 'TRANSACTION'))) {
    return { does: 'state', name: TRANSACTION, transaction: 'begun' };
  }
  if (TRANSACTION_ENDS.has(verb)) {
    // Back to a savepoint: the transaction goes on.
    const goesOn = verb === 'ROLLBACK' && all.some((token) => is(token, 'TO'));
    return goesOn ? null : { does: 'end', transaction: 'ended' };
  }
  if (SET_UP.has(verb)) return null;
  // No more than the verb: the rest may hold secrets, and is reported.
  return { does: 'state', name: `${verb} statement`.trim() };
}

/** Part tokens at semicolons, but not within the bodies of what is made. */
function* split(all, dialect) {
  let statement = [];
  let depth = 0;
  let hasBody = false;
  for (const [at, token] of all.entries()) {
    if (token.kind === 'sign' && token.text === ';' && depth === 0) {
      if (statement.length > 0) yield statement;
      statement = [];
      hasBody = false;
      continue;
    }
    statement.push(token);
    if (token.kind !== 'word') continue;
    if (statement.length < 12 && !hasBody) hasBody = isBlock(statement) || makesBody(statement);
    if (hasBody) depth = Math.max(0, depth + deeper(all, at, dialect));
    if (isBlock(statement) && statement.length === 3) depth = 1;
  }
  if (statement.length > 0) yield statement;
}

function deeper(all, at, dialect) {
  const word = wordOf(all[at]);
  if (word === 'BEGIN') return dialect === 'mysql' || is(all[at + 1], 'ATOMIC') ? 1 : 0;
  if (word === 'CASE') return is(all[at - 1], 'END') ? 0 : 1;
  if (word !== 'END') return 0;
  return BLOCKS_OF_THEIR_OWN.has(wordOf(all[at + 1])) ? 0 : -1;
}

/** Whether a text to be executed is there, and not put together of parts. */
function isWhole([text, after]) {
  return ['string', 'either'].includes(text?.kind) && (after === undefined || is(after, 'USING'));
}

function isBlock(all) {
  return is(all[0], 'BEGIN') && is(all[1], 'NOT') && is(all[2], 'ATOMIC');
}

function made(all) {
  return is(all[0], 'CREATE') ? wordOf(all.find((token) => MADE.has(wordOf(token)))) : '';
}

function makesBody(all) {
  return WITH_BODY.has(made(all));
}

/** Whether a statement only declares something: then a name and a bracket are no call. */
function isDeclaration(all) {
  if (DECLARATIONS.has(wordOf(all[0]))) return true;
  return is(all[0], 'CREATE') && !['TABLE', 'MATERIALIZED'].includes(made(all));
}

function wordOf(token) {
  return token !== undefined && token.kind === 'word' ? token.text.toUpperCase() : '';
}

function is(token, word) {
  return wordOf(token) === word;
}

/** What a text has that may run a procedure; others, the most by far, are read no further. */
function suspicion(dialect, functions) {
  const block = dialect === 'postgresql' ? 'do' : 'begin';
  // A statement begins behind these; a comment that is carried out ends its head in a digit.
  const patterns = [`(?:^|[;/!\\r\\n0-9]|for)\\s*(?:call|execute|prepare|explain|create|${block})`];
  for (const name of functions) patterns.push(escaped(name.split('.').pop()));
  return new RegExp(patterns.join('|'), 'i');
}

function escaped(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

module.exports = { Statements, TRANSACTION, namesOf };
