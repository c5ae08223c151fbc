'use strict';
// mysql2: `DATABASE_URL=mysql://... PORT=3000 node mysql2.js`.
const mysql = require('mysql2/promise');
const { Drain } = require('gapless-drain');
const { DATABASE_URL, serve } = require('./close.js');

const drain = new Drain();
const pool = drain.database(mysql.createPool(DATABASE_URL));

serve(drain, {
  close: (run) => pool.execute('CALL close_month(?)', [run]),
  closeSlowly: (run) => pool.query('CALL close_slowly(?)', [run]),
});
