'use strict';
// Attaches to what the app hands over: one pool, one connection, one Knex or Sequelize.
// Nothing else is changed, and no driver is loaded from here.

const { attachMysql, isMysql } = require('./mysql2.js');
const { attachPg, isPg } = require('./pg.js');
const { ProcedureFinder } = require('./sql/procedures.js');
const { StatementCounter } = require('./statement-counter.js');

const OPTIONS = ['functions', 'everyStatement'];

/** What the database objects of one drain share. */
class Databases {
  constructor(core, current, now) {
    this.shared = { core, current, now, attached: new WeakSet() };
    this.handedOver = new WeakSet(); // also Knex and Sequelize
  }

  /** Count and refuse in front of what was handed over; return it. */
  attach(handed, options = {}) {
    const unknown = Object.keys(options).filter((name) => !OPTIONS.includes(name));
    if (unknown.length > 0) throw new TypeError(`unknown option: ${unknown.join(', ')}`);
    if (handed === null || !['object', 'function'].includes(typeof handed)) throw unfit(handed);
    if (this.handedOver.has(handed)) return handed;
    const counters = new Map();
    const counterFor = (dialect) => {
      if (!counters.has(dialect)) {
        const finder = new ProcedureFinder(dialect, options);
        counters.set(dialect, new StatementCounter(this.shared, finder));
      }
      return counters.get(dialect);
    };
    attachAny(handed, counterFor);
    this.handedOver.add(handed);
    return handed;
  }
}

function attachAny(handed, counterFor) {
  if (isKnex(handed)) {
    const { client } = handed;
    const acquire = client.acquireConnection;
    client.acquireConnection = async function acquireCounted(...rest) {
      const connection = await acquire.apply(this, rest);
      try {
        attachDriver(connection, counterFor);
      } catch (error) {
        await client.releaseConnection(connection);
        throw error;
      }
      return connection;
    };
  } else if (typeof handed.addHook === 'function') {
    if (!['postgres', 'mysql'].includes(handed.getDialect?.())) throw unfit(handed);
    // Sequelize calls this hook before a connection is used.
    handed.addHook('afterPoolAcquire', (connection) => attachDriver(connection, counterFor));
  } else {
    attachDriver(handed, counterFor);
  }
}

function attachDriver(handed, counterFor) {
  if (isMysql(handed)) attachMysql(handed, counterFor('mysql'));
  else if (isPg(handed)) attachPg(handed, counterFor('postgresql'));
  else throw unfit(handed);
}

function isKnex(handed) {
  return typeof handed === 'function' && typeof handed.client?.acquireConnection === 'function';
}

function unfit(handed) {
  const kind = handed?.constructor?.name ?? String(handed);
  return new TypeError(
    `${kind} is no pool or connection of pg or mysql2, and no Knex or Sequelize on them`,
  );
}

module.exports = { Databases };
