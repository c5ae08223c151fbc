'use strict';
// Knex: `DATABASE_URL=... PORT=3000 node knex.js`, with pg or mysql2.
const knex = require('knex');
const { Drain } = require('gapless-drain');
const { DATABASE_URL, serve } = require('./close.js');

const client = DATABASE_URL.startsWith('mysql') ? 'mysql2' : 'pg';
const drain = new Drain();
const db = drain.database(knex({ client, connection: DATABASE_URL }));

serve(drain, {
  close: (run) => db.raw('CALL close_month(?)', [run]),
  closeSlowly: (run) => db.raw('CALL close_slowly(?)', [run]),
});
