'use strict';
// Sequelize 6: `DATABASE_URL=... PORT=3000 node sequelize.js`, with pg or mysql2.
const { Sequelize } = require('sequelize');
const { Drain } = require('gapless-drain');
const { DATABASE_URL, serve } = require('./close.js');

const drain = new Drain();
const sequelize = drain.database(new Sequelize(DATABASE_URL, { logging: false }));

serve(drain, {
  close: (run) => sequelize.query('CALL close_month(:run)', { replacements: { run } }),
  closeSlowly: (run) => sequelize.query('CALL close_slowly(:run)', { replacements: { run } }),
});
