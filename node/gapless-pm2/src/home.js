'use strict';
// Where the apps are: as the command `gapless pm2` finds it.

const os = require('node:os');
const path = require('node:path');

/**
 * Return GAPLESS_HOME; PM2_HOME names it, unless that is PM2's own default.
 * @param {NodeJS.ProcessEnv} [environment]
 * @returns {string}
 */
function homeOf(environment = process.env) {
  const user = environment.HOME || os.homedir();
  const named = environment.PM2_HOME;
  if (named && path.resolve(named) !== path.join(user, '.pm2')) return path.resolve(named);
  return path.resolve(environment.GAPLESS_HOME || path.join(user, '.gapless'));
}

module.exports = { homeOf };
