'use strict';
// Which stored procedures a text of SQL calls, and the names that they count under. It knows
// quotes, comments and what a call looks like, and no other grammar. The cases are those of
// spec/vectors/statements.json. No I/O.

const { is, isBlock, isDeclaration, isLiteral, split, wordOf } = require('./statements.js');
const { tokens } = require('./tokens.js');

const MOST_CACHED_TEXTS = 1000;
const LONGEST_CACHED_CHARS = 4096;
const TRANSACTION = 'transaction';
const NOTHING = Object.freeze([]);
// After these words a name and a bracket are no call: a table, an alias, a declaration.
const WORDS_BEFORE_NAMES = new Set(
  'INTO WITH RECURSIVE AS TABLE REFERENCES FUNCTION PROCEDURE'.split(' '),
);
const TRANSACTION_ENDS = new Set('COMMIT ROLLBACK END ABORT'.split(' '));
// Verbs that only set up other statements, or release what they left.
const SET_UP = new Set(
  'SET RESET USE SAVEPOINT RELEASE DEALLOCATE DISCARD CLOSE UNLISTEN'.split(' '),
);

/** Finds the stored procedures in texts of one dialect, and the named functions. */
class ProcedureFinder {
  /** *dialect*: postgresql or mysql, which is MariaDB too. */
  constructor(dialect, { functions = [], everyStatement = false } = {}) {
    this.dialect = dialect;
    this.everyStatement = everyStatement;
    this.functions = new Map(functions.map((name) => [name.toLowerCase(), name]));
    this.cache = new Map();
    this.mayCall = mayCallPattern(dialect, [...this.functions.keys()]);
  }

  /** What a text does, in order; the same list for the same text. */
  steps(text) {
    const cached = this.cache.get(text);
    if (cached !== undefined) return cached;
    const steps = this.everyStatement || this.mayCall.test(text) ? this.read(text) : NOTHING;
    if (text.length <= LONGEST_CACHED_CHARS) {
      if (this.cache.size >= MOST_CACHED_TEXTS) this.cache.delete(this.cache.keys().next().value);
      this.cache.set(text, steps);
    }
    return steps;
  }

  /** The names that a text counts under; *prepared* is that of its connection. */
  names(text, prepared) {
    const steps = this.steps(text);
    return steps.length === 0 ? NOTHING : namesOf(steps, prepared);
  }

  read(text) {
    const steps = [];
    for (const statement of split(tokens(text, this.dialect), this.dialect)) {
      const before = steps.length;
      this.readStatement(statement, steps);
      if (this.everyStatement && !steps.slice(before).some(({ does }) => does !== 'prepare')) {
        const step = everyStatementStep(statement);
        if (step !== null) steps.push(step);
      }
    }
    return steps;
  }

  readStatement(all, steps) {
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
      if (inner > 0) this.readStatement(all.slice(inner + 1), steps);
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
      if (as > 0) this.readStatement(all.slice(as + 1), inner);
    } else if (isLiteral(all.slice(next + 1))) {
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
    } else if (isLiteral(all.slice(2))) {
      steps.push(...this.read(all[2].text));
    } else {
      steps.push({ does: 'call', name: 'EXECUTE IMMEDIATE' });
    }
  }

  /** The name of a prepared statement as the database compares it. */
  key(name) {
    return this.dialect === 'postgresql' ? name : name.toLowerCase();
  }

  /** The name that begins at a token, and the place of the token after it. */
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

  /** The functions of the configuration that a statement calls. */
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
      if (before !== undefined && WORDS_BEFORE_NAMES.has(wordOf(before))) continue;
      found.add(name);
    }
    return found;
  }
}

/** The names that steps count under; *all*: not only procedures, but every statement. */
function namesOf(steps, prepared, all = true) {
  const names = [];
  for (const step of steps) {
    if (step.does === 'call' || (step.does === 'state' && all)) {
      names.push(step.name);
    } else if (step.does === 'prepare') {
      prepared.set(step.key, step.names);
    } else if (step.does === 'execute') {
      // What was prepared elsewhere may be a call.
      names.push(...(prepared.get(step.key) ?? [step.name]));
    }
  }
  return names;
}

/** The step of a statement that counts only because every one does; null if it does not. */
function everyStatementStep(statement) {
  const verb = wordOf(statement[0]);
  if (verb === 'BEGIN' || (verb === 'START' && is(statement[1], 'TRANSACTION'))) {
    return { does: 'state', name: TRANSACTION, transaction: 'begun' };
  }
  if (TRANSACTION_ENDS.has(verb)) {
    const isToSavepoint = verb === 'ROLLBACK' && statement.some((token) => is(token, 'TO'));
    return isToSavepoint ? null : { does: 'end', transaction: 'ended' };
  }
  if (SET_UP.has(verb)) return null;
  // No more than the verb: the rest may hold secrets, and is reported.
  return { does: 'state', name: `${verb} statement`.trim() };
}

/** Matches every text that may run a procedure; most texts do not match, and are not read. */
function mayCallPattern(dialect, functions) {
  const block = dialect === 'postgresql' ? 'do' : 'begin';
  // A statement begins after one of these; a comment that MariaDB executes has a head that
  // ends in a digit.
  const patterns = [`(?:^|[;/!\\r\\n0-9]|for)\\s*(?:call|execute|prepare|explain|create|${block})`];
  for (const name of functions) patterns.push(escaped(name.split('.').pop()));
  return new RegExp(patterns.join('|'), 'i');
}

function escaped(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

module.exports = { ProcedureFinder, TRANSACTION, namesOf };
