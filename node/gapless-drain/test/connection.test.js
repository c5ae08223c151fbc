'use strict';
const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Drain } = require('../src/index.js');
const { FakeSupervisor, INSTANCE, until } = require('./rig.js');

async function connected(context) {
  const supervisor = await new FakeSupervisor().listen();
  const drain = new Drain({ environment: supervisor.environment, onSignal: null });
  context.after(() => {
    drain.close();
    supervisor.close();
  });
  await supervisor.until({ mode: 'serving' });
  return { drain, supervisor };
}

test('a process says who it is, and that it is ready', async (context) => {
  const { drain, supervisor } = await connected(context);
  const [app] = supervisor.processes;
  assert.equal(app.hello.instance, INSTANCE);
  assert.equal(app.hello.pid, process.pid);
  drain.ready();
  await until(() => app.ready, 'ready');
  const begun = drain.begin('work');
  supervisor.order('counts');
  await supervisor.until({ procedures: 1 });
  begun.finish();
});

test('while it drains each change is sent', async (context) => {
  const { drain, supervisor } = await connected(context);
  const begun = drain.begin('work');
  supervisor.order('drain handoff');
  await supervisor.until({ mode: 'handoff', procedures: 1 });
  begun.finish();
  await supervisor.until({ procedures: 0 });
});

test('what is no order is ignored, and one in two pieces is taken', async (context) => {
  const { supervisor } = await connected(context);
  supervisor.processes[0].socket.write('dance\n\n\0\xff\ndrain\ndrain hand');
  supervisor.processes[0].socket.write('off\r\n');
  await supervisor.until({ mode: 'handoff' });
});

test('a broken connection is made again, in the same mode', async (context) => {
  const { supervisor } = await connected(context);
  supervisor.order('drain recycle');
  await supervisor.until({ mode: 'recycle' });
  const [before] = supervisor.processes;
  before.socket.destroy();
  await until(() => !supervisor.processes.includes(before), 'the end');
  await supervisor.until({ mode: 'recycle' });
});

test('a process that is about to end is not told to serve again', async (context) => {
  const supervisor = await new FakeSupervisor().listen();
  const drain = new Drain({ environment: supervisor.environment });
  context.after(() => {
    drain.close();
    supervisor.close();
  });
  await supervisor.until({ mode: 'serving' });
  drain.begin('work');
  process.emit('SIGTERM');
  await supervisor.until({ mode: 'recycle' });
  supervisor.order('undrain');
  await supervisor.until({ mode: 'recycle', procedures: 1 });
});

test('a supervisor that does not read for long gets the last counts', async (context) => {
  const { drain, supervisor } = await connected(context);
  const [app] = supervisor.processes;
  const names = Array.from({ length: 80 }, (_, at) => `${at}`.padEnd(200, '\u2603'));
  const begun = names.map((name) => drain.begin(name));
  supervisor.order('drain handoff');
  await supervisor.until({ mode: 'handoff', procedures: 80 });
  app.socket.pause();
  for (const each of begun) {
    each.finish();
    await new Promise(setImmediate); // each change is sent by itself
  }
  drain.ready();
  app.socket.resume();
  await supervisor.until({ procedures: 0 });
  await until(() => app.ready, 'ready');
});
