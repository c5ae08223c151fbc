'use strict';
// One request or procedure that is under way. No I/O, no clock.

const LONGEST_NAME_CHARS = 200;

class Activity {
  /** *kind*: request or procedure; *nameSource*: see `name`. */
  constructor(kind, nameSource, beganAt, parent = null) {
    this.kind = kind;
    this.nameSource = nameSource;
    this.beganAt = beganAt;
    this.isOpen = true;
    this.admitted = true;
    this.response = null;
    /** The requests of the same connection that are under way, itself among them. */
    this.siblings = null;
    // Not the parent: a chain of procedures must not grow for ever.
    this.root = parent?.isOpen ? (parent.root ?? parent) : null;
  }

  /**
   * Whether a procedure may begin within it while the process drains. What a finished
   * procedure left behind is within its root.
   */
  get admitsProcedures() {
    if (this.isOpen) return this.admitted;
    return this.root !== null && this.root.isOpen && this.root.admitted;
  }

  /** Its name, which is made from the source (a string or a request) only when asked for. */
  get name() {
    const source = this.nameSource;
    const text = source && source.method ? `${source.method} ${pathOf(source.url)}` : source;
    return String(text).slice(0, LONGEST_NAME_CHARS);
  }
}

function pathOf(url) {
  return String(url).split('?', 1)[0];
}

module.exports = { Activity };
