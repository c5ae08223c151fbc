'use strict';
// The counts and the mode of one process, by the rules of spec/drain.md. No I/O, no clock.

const { Activity } = require('./activity.js');

const MOST_NAMES = 20;
const ORDERS = new Map([
  ['undrain', 'serving'],
  ['drain leaving', 'leaving'],
  ['drain handoff', 'handoff'],
  ['drain recycle', 'recycle'],
]);

/** A procedure was refused: the process drains and begins nothing new. */
class Draining extends Error {
  constructor(name) {
    super(`${name}: this process drains and begins nothing new`);
    this.name = 'Draining';
  }
}

class Core {
  /** *onChange* is called when counts change and the process does not serve. */
  constructor(onChange = () => {}) {
    this.mode = 'serving';
    this.onChange = onChange;
    this.requests = new Set();
    this.procedures = new Set();
    this.resetTotals();
  }

  resetTotals() {
    this.finishedRequests = 0;
    this.finishedProcedures = 0;
    this.refused = 0;
    this.longest = null;
    /** The finished procedures that took longest, in that order. */
    this.longestProcedures = [];
  }

  /** Whether the process drains; `leaving` is no drain. */
  get isDraining() {
    return this.mode === 'handoff' || this.mode === 'recycle';
  }

  /** Whether the health path says no. */
  get isUnhealthy() {
    return this.mode === 'leaving' || this.mode === 'recycle';
  }

  /** Whether the process drains and nothing is under way at this moment. */
  get isDrained() {
    return this.isDraining && this.requests.size === 0 && this.procedures.size === 0;
  }

  /** Count a request; the app may serve it if it is `admitted`. */
  admit(nameSource, now) {
    const activity = new Activity('request', nameSource, now);
    activity.admitted = this.mode !== 'recycle';
    this.requests.add(activity);
    if (this.mode !== 'serving') this.onChange();
    return activity;
  }

  /** Count a procedure. Throws Draining if it may not begin. */
  begin(nameSource, now, parent) {
    const activity = new Activity('procedure', nameSource, now, parent);
    if (this.isDraining && !parent?.admitsProcedures) throw new Draining(activity.name);
    this.procedures.add(activity);
    if (this.mode !== 'serving') this.onChange();
    return activity;
  }

  /** Count an activity as finished; a second call changes nothing. */
  finish(activity, now) {
    if (!activity.isOpen) return;
    activity.isOpen = false;
    (activity.kind === 'request' ? this.requests : this.procedures).delete(activity);
    if (this.mode === 'serving') return;
    this.addToTotals(activity, now);
    this.onChange();
  }

  addToTotals(activity, now) {
    if (!activity.admitted) {
      this.refused += 1;
      return;
    }
    const tookS = now - activity.beganAt;
    if (activity.kind === 'request') {
      this.finishedRequests += 1;
    } else {
      this.finishedProcedures += 1;
      this.longestProcedures.push(describe(activity, tookS));
      this.longestProcedures.sort((one, other) => other.for_s - one.for_s).splice(MOST_NAMES);
    }
    if (this.longest === null || tookS > this.longest.tookS) this.longest = { tookS, activity };
  }

  /** Do what an order says; return whether the counts are to be sent. */
  takeOrder(order) {
    const mode = ORDERS.get(order);
    if (mode !== undefined) this.enter(mode);
    return mode !== undefined || order === 'counts';
  }

  /** Change the mode; the totals begin at zero with each drain. */
  enter(mode) {
    if (mode === this.mode) return;
    if (mode === 'serving' || this.mode === 'serving') this.resetTotals();
    this.mode = mode;
  }

  /** What the supervisor is sent (spec/drain.md); times in seconds. */
  counts(now) {
    // Procedures first: they must be named however many requests there are.
    const oldest = [...oldestFirst(this.procedures), ...oldestFirst(this.requests)];
    const running = oldestFirst(oldest.slice(0, MOST_NAMES));
    let refusing = 0;
    for (const request of this.requests) refusing += request.admitted ? 0 : 1;
    return {
      mode: this.mode,
      requests: this.requests.size,
      refusing,
      procedures: this.procedures.size,
      refused: this.refused,
      finished: {
        requests: this.finishedRequests,
        procedures: this.finishedProcedures,
        named: [...this.longestProcedures],
      },
      running: running.map((activity) => describe(activity, now - activity.beganAt)),
      longest: this.longest && describe(this.longest.activity, this.longest.tookS),
    };
  }
}

function oldestFirst(activities) {
  return [...activities].sort((one, other) => one.beganAt - other.beganAt);
}

function describe(activity, forS) {
  const rounded = Math.max(0, Math.round(forS * 1000) / 1000);
  return { kind: activity.kind, name: activity.name, for_s: rounded };
}

module.exports = { Core, Draining };
