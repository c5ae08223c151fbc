'use strict';
// Node's own http module: `node plain.js`.
const http = require('node:http');
const { Drain } = require('gapless-drain');
const { closeTheMonth, hello, keepBooks, release, wait, whole } = require('./books.js');

const drain = new Drain();
keepBooks(drain);
const server = http.createServer(async (request, response) => {
  const url = new URL(request.url, 'http://localhost');
  const seconds = Number(url.searchParams.get('s') || 0.5);
  response.setHeader('X-Release', `release ${release}`);
  if (request.method === 'POST') return response.end(await whole(request));
  if (url.pathname === '/slow') await wait(seconds);
  if (url.pathname === '/procedure') await closeTheMonth(drain, seconds);
  return response.end(hello());
});
drain.attach(server).listen(Number(process.env.PORT), '127.0.0.1', () => drain.ready());
