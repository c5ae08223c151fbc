'use strict';
// A small app for the tests of signals.
const fs = require('node:fs');
const http = require('node:http');
const { Drain } = require('../src/index.js');

const drain = new Drain({ drainTimeoutS: 5 });
const server = http.createServer((request, response) => {
  if (request.url !== '/procedure') return response.end('hello');
  return drain.procedure('close the month', async () => {
    fs.appendFileSync(process.env.LEDGER, 'begin\n');
    await new Promise((resolve) => setTimeout(resolve, 700));
    fs.appendFileSync(process.env.LEDGER, 'end\n');
    response.end('closed');
  });
});
drain.attach(server).listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  drain.ready();
  process.stdout.write(`${server.address().port}\n`);
});
