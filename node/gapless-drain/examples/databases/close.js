'use strict';
// What the examples share: requests that close a month, and a job that does so outside them.
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const { Draining } = require('gapless-drain');

const { DATABASE_URL, LEDGER = '/dev/null', PORT, RELEASE = '0' } = process.env;
const note = (...words) => fs.appendFileSync(LEDGER, `${process.pid} ${words.join(' ')}\n`);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Serve: GET /close closes a month in the database, GET /slow one that takes its time. */
function serve(drain, { close, closeSlowly }) {
  drain.signal.addEventListener('abort', () => note('told'));
  const server = http.createServer(async (request, response) => {
    const run = crypto.randomUUID();
    try {
      if (request.url === '/close') await closed('request', run, close);
      if (request.url === '/slow') await closed('slow', run, closeSlowly);
      response.setHeader('X-Release', `release ${RELEASE}`);
      response.end(`release ${RELEASE} pid ${process.pid}\n`);
    } catch (error) {
      response.writeHead(500).end(`${error}\n`);
    }
  });
  drain.attach(server);
  server.listen(PORT, '127.0.0.1', () => drain.ready());
  if (process.env.JOB) job(close);
}

/** A job outside all requests: once the process drains, it is told so, and may stop. */
async function job(close) {
  for (;;) {
    try {
      await closed('job', crypto.randomUUID(), close);
    } catch (error) {
      // Sequelize wraps what its driver throws.
      if (!(error instanceof Draining || error.original instanceof Draining)) throw error;
    }
    await pause(20);
  }
}

async function closed(kind, run, close) {
  note('asked', run, kind);
  try {
    await close(run);
    note('done', run);
  } catch (error) {
    note('failed', run, error.original?.name ?? error.name);
    throw error;
  }
}

module.exports = { DATABASE_URL, serve };
