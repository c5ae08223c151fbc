'use strict';
// The article's app with a stored procedure. The drain library does what the article does by
// hand: it counts, answers 503 when told to end, finishes what was begun, exits.
const express = require('express');
const { Pool } = require('pg');
const { Drain, Draining } = require('gapless-drain');

const drain = new Drain();
// Where the database is, pg reads in PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE.
const pool = drain.database(new Pool({ options: '-c client_connection_check_interval=100' }));
const app = express();

app.get('/', (req, res) => {
  setTimeout(() => res.json({ pid: process.pid, env: process.env.NODE_ENV, release: process.cwd() }), 100);
});

// Within a request the procedure is begun even if the process was told to end meanwhile.
app.post('/close/:month', async (req, res) => {
  await pool.query('CALL close_month($1)', [req.params.month]);
  res.json({ closed: req.params.month });
});

// Outside requests it begins no more then: the next process does it.
async function remind() {
  try {
    await pool.query('CALL send_reminders($1)', [process.pid]);
  } catch (error) {
    if (error instanceof Draining) return;
    console.error(error);
  }
  setTimeout(remind, 100);
}

drain.attach(app.listen(process.env.PORT || 3000, () => drain.ready()));
remind();
