'use strict';
// A Node app that knows nothing of gapless.
const fs = require('fs');
const http = require('http');
const ms = require('ms');

const version = fs.readFileSync('VERSION', 'utf8').trim();

http.createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  const chunks = [];
  response.setHeader('X-Release', `release ${version}`);
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    if (url.pathname === '/health') return response.end('ok\n');
    if (request.method === 'POST') return response.end(Buffer.concat(chunks));
    const wait = url.pathname === '/slow' ? ms(`${url.searchParams.get('s') || 0.5}s`) : 0;
    setTimeout(() => response.end(`release ${version} pid ${process.pid}\n`), wait);
  });
}).listen(Number(process.env.PORT || 8002), '127.0.0.1');
