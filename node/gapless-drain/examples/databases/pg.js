'use strict';
// pg: `DATABASE_URL=postgresql://... PORT=3000 node pg.js`.
const { Pool } = require('pg');
const { Drain } = require('gapless-drain');
const { DATABASE_URL, serve } = require('./close.js');

const drain = new Drain();
const pool = drain.database(
  new Pool({
    connectionString: DATABASE_URL,
    // Else the database goes on with what nobody waits for: it looks each 100 ms.
    options: '-c client_connection_check_interval=100',
  }),
);

serve(drain, {
  close: (run) => pool.query('CALL close_month($1)', [run]),
  closeSlowly: (run) => pool.query('CALL close_slowly($1)', [run]),
});
