'use strict';
// A real database for the tests of one file, and procedures that wait for a lock of a test.

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, before } = require('node:test');

const ROOT = path.join(__dirname, '../../..');
const PYTHON = path.join(ROOT, '.venv/bin/python');

const SCHEMAS = {
  postgresql: [
    'CREATE TABLE steps (run int, step int)',
    // It writes, waits for the lock that a test may hold, and writes again.
    `CREATE PROCEDURE close_month(run int) LANGUAGE plpgsql AS $$ BEGIN
       INSERT INTO steps VALUES (run, 1);
       PERFORM pg_advisory_xact_lock(run);
       INSERT INTO steps VALUES (run, 2);
     END $$`,
    `CREATE FUNCTION pay(run int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
       CALL close_month(run);
       RETURN run;
     END $$`,
    `CREATE PROCEDURE fail() LANGUAGE plpgsql AS $$ BEGIN RAISE 'it failed'; END $$`,
  ],
  mariadb: [
    'CREATE TABLE steps (run int, step int) ENGINE=InnoDB',
    `CREATE PROCEDURE close_month(run int) BEGIN
       DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
       START TRANSACTION;
       INSERT INTO steps VALUES (run, 1);
       DO GET_LOCK(CONCAT('run', run), 60);
       DO RELEASE_LOCK(CONCAT('run', run));
       INSERT INTO steps VALUES (run, 2);
       COMMIT;
     END`,
    `CREATE FUNCTION pay(run int) RETURNS int BEGIN
       DO GET_LOCK(CONCAT('run', run), 60);
       DO RELEASE_LOCK(CONCAT('run', run));
       INSERT INTO steps VALUES (run, 2);
       RETURN run;
     END`,
    'INSERT INTO steps VALUES (0, 0)',
    // The same with a lock of a row: a wait for it that is killed is an error.
    `CREATE PROCEDURE close_books(run int) BEGIN
       START TRANSACTION;
       INSERT INTO steps VALUES (run, 1);
       UPDATE steps SET step = 1 WHERE steps.run = 0;
       COMMIT;
     END`,
    `CREATE PROCEDURE fail() SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'it failed'`,
  ],
};

/** Start a database; it ends with its standard input, and so with this process at the latest. */
async function startDatabase(kind) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'database-'));
  fs.chmodSync(directory, 0o755); // the database is another user
  const argv = ['-m', 'rig.databases', kind, directory];
  const rig = spawn(PYTHON, argv, { cwd: ROOT, stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => rig.once('exit', resolve));
  const stop = async () => {
    rig.stdin.end();
    await ended;
    fs.rmSync(directory, { recursive: true, force: true });
  };
  const line = await new Promise((resolve) => {
    let printed = '';
    rig.stdout.on('data', (piece) => {
      printed += piece;
      if (printed.endsWith('\n')) resolve(printed);
    });
    ended.then(() => resolve(null));
  });
  if (line === null) {
    await stop();
    throw new Error(`${kind} did not start`);
  }
  return { options: JSON.parse(line), stop };
}

/** Start a database before the tests of a file, and stop it after them. */
function withDatabase(kind) {
  const database = { kind, options: null, control: null };
  let stop = async () => {};

  before(async () => {
    ({ options: database.options, stop } = await startDatabase(kind));
    database.control = await (kind === 'postgresql' ? pgControl : mysqlControl)(database);
    for (const statement of SCHEMAS[kind]) await database.control.run(statement);
  });

  after(async () => {
    if (database.control !== null) await database.control.close();
    await stop();
  });

  return database;
}

/** What a test does in the database itself; it is not counted. */
async function pgControl({ options }) {
  const { Client } = require('pg');
  const client = new Client(options);
  await client.connect();
  return {
    run: async (sql) => (await client.query(sql)).rows,
    lock: (run) => client.query(`SELECT pg_advisory_lock(${run})`),
    unlock: (run) => client.query(`SELECT pg_advisory_unlock(${run})`),
    kill: (id) => client.query(`SELECT pg_terminate_backend(${id})`),
    close: () => client.end(),
  };
}

async function mysqlControl({ options }) {
  const connection = await require('mysql2/promise').createConnection(options);
  return {
    run: async (sql) => (await connection.query(sql))[0],
    lock: (run) => connection.query(`DO GET_LOCK('run${run}', 0)`),
    unlock: (run) => connection.query(`DO RELEASE_LOCK('run${run}')`),
    kill: (id) => connection.query(`KILL ${id}`),
    close: () => connection.end(),
  };
}

module.exports = { startDatabase, withDatabase };
