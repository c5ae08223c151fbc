'use strict';
// The control socket of the supervisor (spec/control.md): a request is a line of JSON, and so
// is the answer.

const net = require('node:net');
const path = require('node:path');
const { homeOf } = require('./home.js');

const MOST_CHARACTERS = 64 << 20;
const ANSWER_MS = 20_000;

/**
 * Send a request; resolve with its result. Only for what is answered at once.
 * @param {string} op
 * @param {Record<string, unknown>} [fields]
 * @returns {Promise<any>}
 */
function request(op, fields = {}) {
  return new Promise((resolve, reject) => {
    const place = path.join(homeOf(), 'supervisor.sock');
    const socket = net.connect(place);
    let received = '';
    const fail = (/** @type {Error} */ error) => {
      socket.destroy();
      reject(error);
    };
    socket.setEncoding('utf8');
    socket.setTimeout(ANSWER_MS, () => fail(new Error(`${op}: no answer from ${place}`)));
    socket.on('error', fail);
    socket.on('connect', () => socket.write(`${JSON.stringify({ op, ...fields })}\n`));
    socket.on('data', (piece) => {
      received += piece;
      if (received.length > MOST_CHARACTERS) fail(new Error(`${op}: the answer is too long`));
    });
    socket.on('end', () => {
      socket.destroy();
      const last = received.trimEnd().split('\n').pop() || '';
      try {
        const answer = JSON.parse(last);
        if (answer.error) reject(new Error(answer.error.message));
        else resolve(answer.result);
      } catch {
        reject(new Error(`${op}: the supervisor closed the connection`));
      }
    });
  });
}

module.exports = { request };
