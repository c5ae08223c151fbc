'use strict';
// How much does it cost that a statement is no procedure? Processor time a statement in this
// process, on two connections of each driver, bare and counted, in turns.
//
//     node bench/databases.js

const mysql = require('mysql2/promise');
const pg = require('pg');
const { Drain } = require('../src/index.js');
const { ProcedureFinder } = require('../src/databases/sql/procedures.js');
const { startDatabase } = require('../test/database.js');

const ROUNDS = 15;
const STATEMENTS = 3000;
const AIM_US = 5;
const SQL = 'SELECT 1 AS one WHERE 2 > 1';

async function pgClient(options) {
  const client = new pg.Client(options);
  await client.connect();
  return client;
}

const DRIVERS = {
  pg: { kind: 'postgresql', connect: pgClient, run: (on) => on.query(SQL) },
  'mysql2 query': { kind: 'mariadb', connect: mysql.createConnection, run: (on) => on.query(SQL) },
  'mysql2 execute': {
    kind: 'mariadb',
    connect: mysql.createConnection,
    run: (on) => on.execute(SQL),
  },
};

async function spentUs(run, on) {
  const before = process.cpuUsage();
  for (let number = 0; number < STATEMENTS; number += 1) await run(on);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / STATEMENTS;
}

const middle = (figures) => figures.sort((one, other) => one - other)[figures.length >> 1];

async function compare(name, { connect, run }, options, drain) {
  const ways = [await connect(options), drain.database(await connect(options))];
  const found = [[], []];
  for (const way of ways) await spentUs(run, way); // warm
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const which of round % 2 ? [1, 0] : [0, 1]) {
      found[which].push(await spentUs(run, ways[which]));
    }
  }
  for (const way of ways) await way.end();
  const [bare, counted] = found.map(middle);
  const cells = [bare, counted, counted - bare].map((us) => us.toFixed(2).padStart(10));
  console.log(`${name.padEnd(16)}${cells.join('')}`);
}

function readingUs(finder, textOf, times) {
  const prepared = new Map();
  const texts = Array.from({ length: times }, (_, number) => textOf(number));
  const before = process.hrtime.bigint();
  for (const text of texts) finder.names(text, prepared);
  return Number(process.hrtime.bigint() - before) / times / 1000;
}

async function main() {
  console.log('processor time a statement that is no procedure, median, us');
  console.log(`${'driver'.padEnd(16)}${['bare', 'counted', 'costs'].map((w) => w.padStart(10)).join('')}`);
  const drain = new Drain({ environment: {}, onSignal: null });
  for (const kind of ['postgresql', 'mariadb']) {
    const { options, stop } = await startDatabase(kind);
    try {
      for (const [name, driver] of Object.entries(DRIVERS)) {
        if (driver.kind === kind) await compare(name, driver, options, drain);
      }
    } finally {
      await stop();
    }
  }
  console.log(`(aim: ${AIM_US} us or less)\n`);
  console.log('to tell what a text is, us          known  new, no procedure  new, a call');
  for (const dialect of ['postgresql', 'mysql']) {
    const text = 'SELECT id, name FROM orders WHERE customer = $1 ORDER BY id DESC LIMIT 20';
    const finder = () => new ProcedureFinder(dialect, { functions: ['pay'] });
    for (let warm = 0; warm < 3; warm += 1) readingUs(finder(), (n) => `CALL p(${n})`, 20_000);
    const known = readingUs(finder(), () => text, 500_000);
    const fresh = readingUs(finder(), (number) => text + number, 50_000);
    const call = readingUs(finder(), (number) => `CALL close_month(${number}, $1)`, 50_000);
    const cells = [known.toFixed(3).padStart(19), fresh.toFixed(2).padStart(19)];
    console.log(`${dialect.padEnd(22)}${cells.join('')}${call.toFixed(2).padStart(13)}`);
  }
}

main();
