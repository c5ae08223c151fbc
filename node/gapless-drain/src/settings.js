'use strict';
// The settings of a drain, and their defaults; index.d.ts says what each means.

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
