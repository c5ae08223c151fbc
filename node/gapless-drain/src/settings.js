'use strict';
// What can be set, and what it is otherwise.

const DEFAULTS = {
  status: 503,
  retryAfterS: 1,
  healthPath: null,
  healthStatus: 503,
  leadS: 0,
  drainTimeoutS: 30,
  onSignal: 'recycle',
  discardBytes: 16 << 20,
  discardS: 10,
};

module.exports = { DEFAULTS };
