'use strict';
// The file VERSION says what a release does: "3", "3 broken", "3 sick 1.5", "3 late 2",
// "3 ends 1.5 0", "3 job 1.5 0".
const fs = require('fs');
const http = require('http');
const path = require('path');

const [version, how, after, code] = fs.readFileSync(path.join(__dirname, 'VERSION'), 'utf8').trim().split(' ');
if (how === 'broken') throw new Error('this release is broken');
const born = Date.now();

const late = how === 'late' ? Number(after) * 1000 : 0;
const server = http.createServer((request, response) => {
  const chunks = [];
  response.setHeader('X-Release', `release ${version}`);
  response.setHeader('X-Instance', `${process.env.HOST_NAME} ${process.pid}`);
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    if (request.url === '/health') {
      const sick = how === 'sick' && Date.now() - born > Number(after) * 1000;
      response.statusCode = sick ? 500 : 200;
      return response.end(sick ? 'sick\n' : 'ok\n');
    }
    if (request.method === 'POST') {
      const number = request.headers['x-request-number'] || 'unnumbered';
      fs.appendFileSync(process.env.LEDGER, `${number}\n`);
      return setTimeout(() => response.end(Buffer.concat(chunks)), 10);
    }
    response.end(`release ${version} pid ${process.pid}\n`);
  });
});
const end = () => setTimeout(() => process.exit(Number(code)), Number(after) * 1000);
if (how === 'job') {
  end();
} else {
  if (how === 'ends') server.once('listening', end);
  setTimeout(() => server.listen(Number(process.env.PORT), process.env.HOST), late);
}
