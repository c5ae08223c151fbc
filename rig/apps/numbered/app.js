'use strict';
// Logs the number of each request, with Node's own http module only.
const fs = require('fs');
const http = require('http');
const release = process.env.RELEASE || '0';
const log = fs.openSync(process.env.NUMBERS, 'a');

http.createServer((request, response) => {
  const number = new URL(request.url, 'http://localhost').searchParams.get('id') || '';
  let size = 0;
  request.on('data', (chunk) => { size += chunk.length; });
  request.on('end', () => {
    if (number) fs.writeSync(log, `${number} ${request.method} ${size} ${release}\n`);
    response.end(`release ${release} pid ${process.pid} number ${number}\n`);
  });
}).listen(Number(process.env.PORT), '127.0.0.1');
