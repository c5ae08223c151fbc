'use strict';
// What the tests share: a supervisor with a real socket, requests, and waiting for facts.

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

/** Accepts the connections of processes, and sends them orders. */
class FakeSupervisor {
  constructor() {
    this.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'drain-'));
    this.path = path.join(this.directory, 'socket');
    this.processes = [];
    this.mode = null; // the last order, which those are sent that connect later
    this.environment = { GAPLESS_SOCKET: this.path, GAPLESS_INSTANCE: INSTANCE };
    this.server = net.createServer((socket) => {
      const connected = { socket, hello: null, counts: null, ready: false };
      this.processes.push(connected);
      let partialLine = '';
      socket.on('data', (piece) => {
        const lines = (partialLine + piece).split('\n');
        partialLine = lines.pop();
        for (const line of lines) {
          const message = JSON.parse(line);
          if (message.hello) {
            connected.hello = message;
            if (this.mode !== null) socket.write(`${this.mode}\n`);
            continue;
          }
          if (message.ready) connected.ready = true;
          else connected.counts = message;
        }
      });
      socket.on('error', () => {});
      socket.on('close', () => this.processes.splice(this.processes.indexOf(connected), 1));
    });
  }

  listen() {
    return new Promise((resolve) => this.server.listen(this.path, () => resolve(this)));
  }

  order(line) {
    if (line.startsWith('drain ')) this.mode = line;
    if (line === 'undrain') this.mode = null;
    for (const connected of this.processes) {
      connected.counts = null;
      connected.socket.write(`${line}\n`);
    }
  }

  /** Wait until every process has sent these counts. */
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

/** Send a request, on a connection of its own or of *agent*; return the answer. */
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
