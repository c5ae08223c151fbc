'use strict';
// A text of SQL as tokens: words, quoted names, strings and signs. Comments and spaces are left
// out, but what a comment of MariaDB executes is not.

const WORD = /[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/y;
const NUMBER = /[0-9][A-Za-z0-9_.]*/y;
const SPACE = /\s+/y;
const DOLLAR = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y;
const LINE_END = /[\r\n]/g;
const COMMENT_EDGE = /\/\*|\*\//g;
const STOPS = { "'": /'/g, '"': /"/g, '`': /`/g };
const STOPS_WITH_ESCAPES = { "'": /['\\]/g, '"': /["\\]/g };
const ESCAPES = { 0: '\0', b: '\b', n: '\n', r: '\r', t: '\t', Z: '\x1a' };

/**
 * The tokens of a text. Their kind is word, name (in quotes), string, either (a string, or a
 * name with ANSI_QUOTES), number or sign.
 */
function tokens(text, dialect) {
  return new Reader(text, dialect === 'postgresql').all();
}

class Reader {
  constructor(text, isPostgres) {
    this.text = text;
    this.isPostgres = isPostgres;
    this.at = 0;
    this.isInExecutedComment = false; // a comment whose text MariaDB executes
    this.found = [];
  }

  all() {
    const { text } = this;
    while (this.at < text.length) {
      if (this.take(SPACE) === null && !this.comment() && !this.quoted()) this.plain();
    }
    return this.found;
  }

  take(pattern) {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text);
    if (match === null) return null;
    this.at = pattern.lastIndex;
    return match[0];
  }

  add(kind, text) {
    this.found.push({ kind, text });
    return true;
  }

  plain() {
    const word = this.take(WORD);
    if (word !== null) {
      // In E'...' backslashes escape; the E is part of the string.
      if (this.isPostgres && /^e$/i.test(word) && this.text[this.at] === "'") {
        this.add('string', this.until("'", true));
        return;
      }
      this.add('word', word);
      return;
    }
    if (this.take(NUMBER) !== null) {
      this.add('number', '');
      return;
    }
    if (!this.isPostgres && this.text.startsWith('??', this.at)) {
      this.at += 2;
      this.add('name', '??'); // mysql2 fills in a name
      return;
    }
    this.add('sign', this.text[this.at]);
    this.at += 1;
  }

  comment() {
    const { text, at } = this;
    const two = text.substr(at, 2);
    if (two === '--' ? this.isPostgres || !/[^\s]/.test(text.charAt(at + 2)) : text[at] === '#') {
      if (two !== '--' && this.isPostgres) return false;
      LINE_END.lastIndex = at;
      const end = LINE_END.exec(text);
      this.at = end === null ? text.length : end.index;
      return true;
    }
    if (two === '*/' && this.isInExecutedComment) {
      this.isInExecutedComment = false;
      this.at += 2;
      return true;
    }
    if (two !== '/*') return false;
    const opened = this.isPostgres ? null : /^\/\*M?![0-9]*/.exec(text.substr(at, 12));
    if (opened !== null) {
      this.isInExecutedComment = true;
      this.at += opened[0].length;
      return true;
    }
    this.skipComment();
    return true;
  }

  skipComment() {
    const { text } = this;
    let depth = 1;
    COMMENT_EDGE.lastIndex = this.at + 2;
    while (depth > 0) {
      const edge = COMMENT_EDGE.exec(text);
      if (edge === null) {
        this.at = text.length;
        return;
      }
      if (edge[0] === '*/') depth -= 1;
      else if (this.isPostgres) depth += 1;
    }
    this.at = COMMENT_EDGE.lastIndex;
  }

  quoted() {
    const quote = this.text[this.at];
    if (quote === "'") return this.add('string', this.until("'", !this.isPostgres));
    if (quote === '"') {
      if (this.isPostgres) return this.add('name', this.until('"', false));
      return this.add('either', this.until('"', true));
    }
    if (quote === '`' && !this.isPostgres) return this.add('name', this.until('`', false));
    if (quote !== '$' || !this.isPostgres) return false;
    const tag = this.take(DOLLAR);
    if (tag === null) return false;
    const end = this.text.indexOf(tag, this.at);
    this.at = end < 0 ? this.text.length : end + tag.length;
    return this.add('string', '');
  }

  /** Read up to the closing quote; return the text, in which a doubled quote is one. */
  until(quote, hasEscapes) {
    const { text } = this;
    const stop = hasEscapes ? STOPS_WITH_ESCAPES[quote] : STOPS[quote];
    let from = this.at + 1;
    let content = '';
    stop.lastIndex = from;
    for (;;) {
      const match = stop.exec(text);
      if (match === null) {
        this.at = text.length;
        return content + text.slice(from);
      }
      const { index } = match;
      const next = text.charAt(index + 1);
      if (match[0] === '\\') {
        content += text.slice(from, index) + (ESCAPES[next] ?? next);
      } else if (next === quote) {
        content += text.slice(from, index + 1);
      } else {
        this.at = index + 1;
        return content + text.slice(from, index);
      }
      from = index + 2;
      stop.lastIndex = from;
    }
  }
}

module.exports = { tokens };
