'use strict';
// A text of SQL split into its statements, and what each statement looks like. No I/O.

const KINDS_CREATED = new Set(
  'TABLE MATERIALIZED VIEW INDEX PROCEDURE FUNCTION TRIGGER EVENT PACKAGE AGGREGATE'.split(' '),
);
const KINDS_WITH_BODY = new Set('PROCEDURE FUNCTION TRIGGER EVENT PACKAGE'.split(' '));
const WORDS_AFTER_END = new Set('IF LOOP WHILE REPEAT FOR'.split(' '));
const DECLARATIONS = new Set('ALTER DROP GRANT REVOKE COMMENT SECURITY SHOW'.split(' '));

/** Yield the statements, split at semicolons that are not in the body of a routine. */
function* split(tokens, dialect) {
  let statement = [];
  let depth = 0;
  let hasBody = false;
  for (const [at, token] of tokens.entries()) {
    if (token.kind === 'sign' && token.text === ';' && depth === 0) {
      if (statement.length > 0) yield statement;
      statement = [];
      hasBody = false;
      continue;
    }
    statement.push(token);
    if (token.kind !== 'word') continue;
    if (statement.length < 12 && !hasBody) {
      hasBody = isBlock(statement) || KINDS_WITH_BODY.has(kindCreated(statement));
    }
    if (hasBody) depth = Math.max(0, depth + depthChange(tokens, at, dialect));
    if (isBlock(statement) && statement.length === 3) depth = 1;
  }
  if (statement.length > 0) yield statement;
}

function depthChange(tokens, at, dialect) {
  const word = wordOf(tokens[at]);
  if (word === 'BEGIN') return dialect === 'mysql' || is(tokens[at + 1], 'ATOMIC') ? 1 : 0;
  if (word === 'CASE') return is(tokens[at - 1], 'END') ? 0 : 1;
  if (word !== 'END') return 0;
  return WORDS_AFTER_END.has(wordOf(tokens[at + 1])) ? 0 : -1;
}

/** Return whether a statement is MariaDB's BEGIN NOT ATOMIC, which holds others. */
function isBlock(statement) {
  return is(statement[0], 'BEGIN') && is(statement[1], 'NOT') && is(statement[2], 'ATOMIC');
}

/** What a CREATE makes, as a keyword; empty for other statements. */
function kindCreated(statement) {
  if (!is(statement[0], 'CREATE')) return '';
  return wordOf(statement.find((token) => KINDS_CREATED.has(wordOf(token))));
}

/** Return whether a statement only declares something, so that a name and ( are no call. */
function isDeclaration(statement) {
  if (DECLARATIONS.has(wordOf(statement[0]))) return true;
  const isCreate = is(statement[0], 'CREATE');
  return isCreate && !['TABLE', 'MATERIALIZED'].includes(kindCreated(statement));
}

/** Return whether a text to be executed is one string, and not an expression. */
function isLiteral([text, after]) {
  return ['string', 'either'].includes(text?.kind) && (after === undefined || is(after, 'USING'));
}

/** The keyword that a token is; empty for a token that is no word. */
function wordOf(token) {
  return token !== undefined && token.kind === 'word' ? token.text.toUpperCase() : '';
}

function is(token, word) {
  return wordOf(token) === word;
}

module.exports = { is, isBlock, isDeclaration, isLiteral, split, wordOf };
