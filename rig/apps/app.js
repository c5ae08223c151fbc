'use strict';
// Does what wsgi_app.py does, in Node with its own http module only.
const http = require('http');
const release = process.env.RELEASE || '0';

http.createServer((request, response) => {
  response.setHeader('X-Release', `release ${release}`);
  const url = new URL(request.url, 'http://localhost');
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    if (request.method === 'POST') return response.end(Buffer.concat(chunks));
    const wait = url.pathname === '/slow' ? Number(url.searchParams.get('s') || 0.5) : 0;
    setTimeout(() => response.end(`release ${release} pid ${process.pid}\n`), wait * 1000);
  });
}).listen(Number(process.env.PORT), process.env.HOST || '127.0.0.1');
