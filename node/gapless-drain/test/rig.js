'use strict';
// What the tests share: a supervisor that is a real socket, requests, and waiting for facts.

const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');

const INSTANCE = 'app/1/0/1';

/** Wait until *fact* holds; fail with *what* after ten seconds. */
async function until(fact, what) {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const found = await fact();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`not within 10 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Listens where processes connect. */
class FakeSupervisor {
  constructor() {
    this.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'drain-'));
    this.path = path.join(this.directory, 'socket');
    this.processes = [];
    this.environment = { GAPLESS_SOCKET: this.path, GAPLESS_INSTANCE: INSTANCE };
    this.server = net.createServer((socket) => {
      const one = { socket, hello: null, counts: null, ready: false };
      this.processes.push(one);
      let heard = '';
      socket.on('data', (piece) => {
        const lines = (heard + piece).split('\n');
        heard = lines.pop();
        for (const line of lines) {
          const said = JSON.parse(line);
          if (said.hello) one.hello = said;
          else if (said.ready) one.ready = true;
          else one.counts = said;
        }
      });
      socket.on('error', () => {});
      socket.on('close', () => this.processes.splice(this.processes.indexOf(one), 1));
    });
  }

  listen() {
    return new Promise((resolve) => this.server.listen(this.path, () => resolve(this)));
  }

  order(line) {
    for (const one of this.processes) {
      one.counts = null;
      one.socket.write(`${line}\n`);
    }
  }

  until(expected) {
    const holds = () =>
      this.processes.length > 0 &&
      this.processes.every(
        ({ counts }) =>
          counts && Object.entries(expected).every(([name, value]) => counts[name] === value),
      );
    return until(holds, JSON.stringify(expected));
  }

  close() {
    for (const { socket } of [...this.processes]) socket.destroy();
    this.server.close();
    fs.rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Ask, on a connection of its own or of *agent*. */
function ask(port, options = {}) {
  const { body, ...rest } = options;
  return new Promise((resolve, reject) => {
    const request = http.request({ port, host: '127.0.0.1', agent: false, ...rest });
    request.on('error', reject);
    request.on('response', (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode,
          headers: response.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      );
    });
    if (rest.headers && rest.headers.Expect) {
      request.on('continue', () => request.end(body));
      request.flushHeaders();
    } else {
      request.end(body);
    }
  });
}

module.exports = { FakeSupervisor, INSTANCE, ask, until };
