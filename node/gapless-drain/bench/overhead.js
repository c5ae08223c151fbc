'use strict';
// How much does counting cost? Processor time a request in the server, bare and counted, in
// turns: requests a second would only measure the client.
//
//     node bench/overhead.js

const http = require('node:http');
const { fork } = require('node:child_process');
const { Drain } = require('../src/index.js');

const ROUNDS = 8;
const ROUND_MS = 1500;

if (process.argv[2] === 'serve') {
  const drain = new Drain({ environment: {}, onSignal: null });
  const make = () =>
    http.createServer((request, response) => response.end('hello, this is an answer\n'));
  const bare = make().listen(0, '127.0.0.1', () => {
    const counted = drain.attach(make()).listen(0, '127.0.0.1', () => {
      process.send([bare.address().port, counted.address().port]);
      process.on('message', () => {
        const { user, system } = process.cpuUsage();
        process.send(user + system);
      });
    });
  });
} else {
  main();
}

function round(port) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
  const until = Date.now() + ROUND_MS;
  let answered = 0;
  const client = async () => {
    while (Date.now() < until) {
      await new Promise((resolve, reject) => {
        const request = http.get({ port, host: '127.0.0.1', agent }, (response) => {
          response.resume();
          response.on('end', resolve);
        });
        request.on('error', reject);
      });
      answered += 1;
    }
  };
  return Promise.all(Array.from({ length: 16 }, client)).then(() => {
    agent.destroy();
    return answered;
  });
}

async function main() {
  const child = fork(__filename, ['serve']);
  const heard = () => new Promise((resolve) => child.once('message', resolve));
  const ports = await heard();
  const spent = () => {
    child.send('spent?');
    return heard();
  };
  const found = [[], []];
  for (const port of ports) await round(port); // warm
  for (let number = 0; number < ROUNDS; number += 1) {
    for (const which of number % 2 ? [1, 0] : [0, 1]) {
      const before = await spent();
      const answered = await round(ports[which]);
      found[which].push(((await spent()) - before) / answered);
    }
  }
  child.kill();
  const middle = found.map((each) => each.sort((a, b) => a - b)[ROUNDS >> 1]);
  console.log('what      median us of processor time a request');
  console.log(`bare      ${middle[0].toFixed(2)}`);
  console.log(`counted   ${middle[1].toFixed(2)}`);
  const cost = (middle[1] / middle[0] - 1) * 100;
  console.log(`counting costs ${cost.toFixed(1)} % (aim: 2 % or less)`);
}
