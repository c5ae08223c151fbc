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
  const [one] = supervisor.processes;
  assert.equal(one.hello.instance, INSTANCE);
  assert.equal(one.hello.pid, process.pid);
  drain.ready();
  await until(() => one.ready, 'ready');
  const begun = drain.begin('work');
  supervisor.order('counts');
  await supervisor.until({ procedures: 1 });
  begun.finish();
});

test('while it drains each change is told', async (context) => {
  const { drain, supervisor } = await connected(context);
  const begun = drain.begin('work');
  supervisor.order('drain handoff');
  await supervisor.until({ mode: 'handoff', procedures: 1 });
  begun.finish();
  await supervisor.until({ procedures: 0 });
});

test('nonsense and halves are borne', async (context) => {
  const { supervisor } = await connected(context);
  supervisor.processes[0].socket.write('dance\n\n\0\xff\ndrain\ndrain hand');
  supervisor.processes[0].socket.write('off\r\n');
  await supervisor.until({ mode: 'handoff' });
});

test('a broken line is taken up again, in the same mode', async (context) => {
  const { supervisor } = await connected(context);
  supervisor.order('drain recycle');
  await supervisor.until({ mode: 'recycle' });
  const [before] = supervisor.processes;
  before.socket.destroy();
  await until(() => !supervisor.processes.includes(before), 'the end');
  await supervisor.until({ mode: 'recycle' });
});

test('who does not read for long is told the last counts, and readiness', async (context) => {
  const { drain, supervisor } = await connected(context);
  const [one] = supervisor.processes;
  const names = Array.from({ length: 80 }, (_, at) => `${at}`.padEnd(200, '\u2603'));
  const begun = names.map((name) => drain.begin(name));
  supervisor.order('drain handoff');
  await supervisor.until({ mode: 'handoff', procedures: 80 });
  one.socket.pause();
  for (const each of begun) {
    each.finish();
    await new Promise(setImmediate); // each change is told by itself
  }
  drain.ready();
  one.socket.resume();
  await supervisor.until({ procedures: 0 });
  await until(() => one.ready, 'ready');
});
