'use strict';
// The command `gapless`: what it computes is not computed here again.

const { spawn } = require('node:child_process');
const { homeOf } = require('./home.js');

/**
 * Run `gapless WORDS`; resolve with what it prints. GAPLESS_COMMAND names another command.
 * @param {string[]} words
 * @param {string} [input] its standard input
 * @returns {Promise<string>}
 */
function gapless(words, input = '') {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, GAPLESS_HOME: homeOf() };
    const child = spawn(process.env.GAPLESS_COMMAND || 'gapless', words, { env });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (piece) => (stdout += piece));
    child.stderr.setEncoding('utf8').on('data', (piece) => (stderr += piece));
    child.stdin.on('error', () => {}); // it may end without reading
    child.stdin.end(input);
    child.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
      const missing = error.code === 'ENOENT';
      reject(missing ? new Error('there is no command `gapless` in PATH') : error);
    });
    child.on('close', (code) => {
      if (code === 0) resolve(stdout);
      else reject(new Error(messageOf(stdout, stderr) || `gapless ended with ${code}`));
    });
  });
}

/**
 * Return why a command failed: by its JSON, or else by what it printed.
 * @param {string} stdout
 * @param {string} stderr
 * @returns {string}
 */
function messageOf(stdout, stderr) {
  try {
    const rows = [JSON.parse(stdout)].flat();
    const reasons = rows.map((row) => (row.error ? row.error.message : row.reason));
    return reasons.filter(Boolean).join('\n');
  } catch {
    return (stderr.trim() || stdout.trim()).replace(/^gapless: /, '');
  }
}

module.exports = { gapless };
