'use strict';
// What a test of a driver needs: a drain with a supervisor, a server, and a number.

const http = require('node:http');
const { Drain } = require('../src/index.js');
const { FakeSupervisor, ask, until } = require('./rig.js');

let runs = 0;

/** The number of one call of a procedure; no other test has it. */
function nextRun() {
  runs += 1;
  return runs;
}

class Fixture {
  constructor(context, database) {
    this.database = database;
    this.run = nextRun();
    this.closers = [];
    context.after(async () => {
      for (const close of this.closers.reverse()) await close();
    });
  }

  async open() {
    const supervisor = await new FakeSupervisor().listen();
    this.supervisor = supervisor;
    this.drain = new Drain({ environment: supervisor.environment, onSignal: null });
    this.closers.push(() => supervisor.close());
    this.closers.push(() => this.drain.close());
    await supervisor.until({ mode: 'serving' });
    return this;
  }

  /** Call *close* when the test has ended, the last one first. */
  closeAfter(close) {
    this.closers.push(close);
  }

  /** How many procedures are under way. */
  get count() {
    return this.drain.counts().procedures;
  }

  /** Their names. */
  get names() {
    return this.drain.counts().running.map(({ name }) => name);
  }

  async order(order) {
    this.supervisor.order(order);
    await this.supervisor.until({ mode: order.split(' ').pop().replace('undrain', 'serving') });
  }

  /** Wait until so many procedures are under way. */
  until(count) {
    return until(() => this.count === count, `${count} procedures`);
  }

  /** Let the procedures of a run wait. */
  lock(run = this.run) {
    return this.database.control.lock(run);
  }

  unlock(run = this.run) {
    return this.database.control.unlock(run);
  }

  /** The steps that the procedures of a run have committed. */
  async steps(run = this.run) {
    const rows = await this.database.control.run(`SELECT step FROM steps WHERE run = ${run}`);
    return rows.map(({ step }) => step).sort();
  }

  /** Run *work* within a request; return the answer, which has the result of *work*. */
  async request(work) {
    const server = http.createServer((request, response) => {
      Promise.resolve(work()).then(
        (text) => response.end(String(text)),
        (error) => response.writeHead(500).end(String(error)),
      );
    });
    this.drain.attach(server);
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.closeAfter(() => server.close());
    return ask(server.address().port);
  }
}

function openFixture(context, database) {
  return new Fixture(context, database).open();
}

module.exports = { nextRun, openFixture };
