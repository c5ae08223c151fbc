'use strict';
// Work that must finish: what a stored procedure would do, and take its time for.
const crypto = require('node:crypto');
const fs = require('node:fs');

const release = process.env.RELEASE || '0';
const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const note = (what) => fs.appendFileSync(process.env.LEDGER || '/dev/null', `${what}\n`);

function closeTheMonth(drain, seconds) {
  return drain.procedure('close the month', async () => {
    const number = crypto.randomUUID();
    note(`begin ${number}`);
    await wait(seconds);
    note(`end ${number}`);
  });
}

/** A job in the background, outside all requests; it begins no more once told. */
function keepBooks(drain) {
  if (process.env.BOOKS === undefined) return;
  setInterval(() => {
    try {
      drain.procedure('keep books', () => note(`book ${process.pid} ${release}`));
    } catch {
      note(`refused ${process.pid} ${release}`);
    }
  }, 50);
}

async function whole(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const hello = () => `release ${release} pid ${process.pid}\n`;

module.exports = { closeTheMonth, hello, keepBooks, release, wait, whole };
