'use strict';
// What is under way in one process, and what it may begin. No I/O, no clock.
// The rules are those of spec/drain.md.

const MOST_NAMES = 20;
const LONGEST_NAME = 200;
const ORDERS = new Map([
  ['undrain', 'serving'],
  ['drain leaving', 'leaving'],
  ['drain handoff', 'handoff'],
  ['drain recycle', 'recycle'],
]);

/** A procedure was refused: the process finishes what it began and begins no more. */
class Draining extends Error {
  constructor(name) {
    super(`${name}: this process drains and begins nothing new`);
    this.name = 'Draining';
  }
}

/** One request or procedure that is under way. */
class Ticket {
  constructor(kind, named, began, within = null) {
    this.kind = kind;
    this.named = named;
    this.began = began;
    this.open = true;
    this.admitted = true;
    this.response = null;
    // The outermost: a chain of procedures must not grow for ever.
    this.within = within?.open ? (within.within ?? within) : null;
  }

  /** Whether something may begin within it: what a procedure left behind is in its request. */
  get letsBegin() {
    if (this.open) return this.admitted;
    return this.within !== null && this.within.open && this.within.admitted;
  }

  /** What it is called; put together only when somebody asks. */
  get name() {
    const named = this.named;
    const text = named && named.method ? `${named.method} ${pathOf(named.url)}` : named;
    return String(text).slice(0, LONGEST_NAME);
  }
}

function pathOf(url) {
  return String(url).split('?', 1)[0];
}

/** The counts and the mode of one process. */
class Core {
  constructor(changed = () => {}) {
    this.mode = 'serving';
    this.changed = changed;
    this.requests = new Set();
    this.procedures = new Set();
    this.forgetSums();
  }

  forgetSums() {
    this.finishedRequests = 0;
    this.finishedProcedures = 0;
    this.refused = 0;
    this.longest = null;
    /** The procedures that finished, the longest first. */
    this.ended = [];
  }

  /** Whether the process drains: `leaving` only tells the balancer. */
  get isDraining() {
    return this.mode === 'handoff' || this.mode === 'recycle';
  }

  /** Whether it drains, and nothing is under way at this moment. */
  get isDrained() {
    return this.isDraining && this.requests.size === 0 && this.procedures.size === 0;
  }

  /** Count a request; it may be served if its ticket says `admitted`. */
  admit(named, now) {
    const ticket = new Ticket('request', named, now);
    ticket.admitted = this.mode !== 'recycle';
    this.requests.add(ticket);
    if (this.mode !== 'serving') this.changed();
    return ticket;
  }

  /** Count a procedure. Throws Draining if it may not begin. */
  begin(named, now, within) {
    const ticket = new Ticket('procedure', named, now, within);
    if (this.isDraining && !within?.letsBegin) throw new Draining(ticket.name);
    this.procedures.add(ticket);
    if (this.mode !== 'serving') this.changed();
    return ticket;
  }

  /** End what a ticket stands for; a second time changes nothing. */
  finish(ticket, now) {
    if (!ticket.open) return;
    ticket.open = false;
    (ticket.kind === 'request' ? this.requests : this.procedures).delete(ticket);
    if (this.mode === 'serving') return;
    this.sumUp(ticket, now);
    this.changed();
  }

  sumUp(ticket, now) {
    if (!ticket.admitted) {
      this.refused += 1;
      return;
    }
    const took = now - ticket.began;
    if (ticket.kind === 'request') {
      this.finishedRequests += 1;
    } else {
      this.finishedProcedures += 1;
      this.ended.push(describe(ticket, took));
      this.ended.sort((one, other) => other.for_s - one.for_s).splice(MOST_NAMES);
    }
    if (this.longest === null || took > this.longest.took) this.longest = { took, ticket };
  }

  /** Do what an order says; tell whether the counts are to be told. */
  order(line) {
    const mode = ORDERS.get(line);
    if (mode !== undefined) this.enter(mode);
    return mode !== undefined || line === 'counts';
  }

  /** Go to a mode; the sums begin anew with each drain. */
  enter(mode) {
    if (mode === this.mode) return;
    if (mode === 'serving' || this.mode === 'serving') this.forgetSums();
    this.mode = mode;
  }

  /** What the supervisor is told (spec/drain.md); times in seconds. */
  counts(now) {
    // Of more than fit, procedures are named: many requests must not hide one.
    const named = [...oldest(this.procedures), ...oldest(this.requests)].slice(0, MOST_NAMES);
    let refusing = 0;
    for (const ticket of this.requests) refusing += ticket.admitted ? 0 : 1;
    return {
      mode: this.mode,
      requests: this.requests.size,
      refusing,
      procedures: this.procedures.size,
      refused: this.refused,
      finished: {
        requests: this.finishedRequests,
        procedures: this.finishedProcedures,
        named: [...this.ended],
      },
      running: oldest(named).map((ticket) => describe(ticket, now - ticket.began)),
      longest: this.longest && describe(this.longest.ticket, this.longest.took),
    };
  }
}

function oldest(tickets) {
  return [...tickets].sort((one, other) => one.began - other.began);
}

function describe(ticket, forS) {
  const rounded = Math.max(0, Math.round(forS * 1000) / 1000);
  return { kind: ticket.kind, name: ticket.name, for_s: rounded };
}

module.exports = { Core, Draining, Ticket };
