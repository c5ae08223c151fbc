'use strict';
// A server in this process, with a drain and a supervisor.

const { after } = require('node:test');
const { Drain } = require('../src/index.js');
const { FakeSupervisor } = require('./rig.js');

const closers = [];
after(() => {
  for (const close of closers) close();
});

/** A server with a drain and a supervisor in front of it. */
async function served(server, options = {}) {
  const supervisor = await new FakeSupervisor().listen();
  const drain = new Drain({
    environment: supervisor.environment,
    onSignal: null,
    ...options,
  });
  drain.attach(server);
  closers.push(() => {
    drain.close();
    server.closeAllConnections?.();
    server.close();
    supervisor.close();
  });
  await supervisor.until({ mode: 'serving' });
  return { drain, supervisor, port: server.address().port };
}

const counted = ({ drain }) => drain.counts().requests;

module.exports = { closers, counted, served };
