'use strict';
// A promise that is rejected and has no handler ends a program of plain Node. One that PM2
// starts goes on: the rejection is logged. This does the same, for declarations of PM2.

const HINT =
  'gapless: plain Node would end here; as under PM2, an unhandled rejection is logged and the ' +
  'program goes on. "gapless": {"unhandled_rejections": "strict"} ends it. This is said once.';

/** Return a text for what a promise was rejected with; it may be anything. */
function textOf(reason) {
  try {
    return require('node:util').inspect(reason);
  } catch {
    return 'a value that cannot be shown';
  }
}

/** Log unhandled rejections of a process, unless the program has a listener of its own. */
function logRejections(target) {
  let wasExplained = false;
  let output = null;

  target.on('unhandledRejection', function logRejection(reason) {
    const isOurs = (listener) => (listener.listener || listener) === logRejection;
    if (!target.rawListeners('unhandledRejection').every(isOurs)) return;
    // Not the console of the program: that may do anything, and reject again.
    output = output || new (require('node:console').Console)(target.stderr);
    output.error(`unhandled rejection: ${textOf(reason)}`);
    if (!wasExplained) output.error(HINT);
    wasExplained = true;
  });
}

module.exports = { logRejections };
