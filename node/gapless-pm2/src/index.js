'use strict';
// The calls of `require('pm2')`. Each takes a callback as its last argument, as there;
// without one it returns a promise.

const path = require('node:path');
const { Bus } = require('./bus.js');
const { gapless } = require('./command.js');
const { request } = require('./control.js');
const { homeOf } = require('./home.js');

/** @typedef {import('./types.js').ProcessDescription} ProcessDescription */
/** @typedef {import('./types.js').StartOptions} StartOptions */

const FILES = /\.(json5?|ya?ml)$|\.config\.(js|cjs|mjs)$/;
/** What PM2 says of a name that it does not know. */
const NOT_FOUND = 'process or namespace not found';
/** @type {Set<Bus>} */
const buses = new Set();

/**
 * Make a call of PM2 out of a function that returns a promise: the last argument may be a
 * callback, which gets an error or null, and the result.
 * @template {(...rest: any[]) => Promise<any>} Work
 * @param {Work} work
 * @returns {(...rest: any[]) => any}
 */
function call(work) {
  return (...rest) => {
    const callback = typeof rest[rest.length - 1] === 'function' ? rest.pop() : null;
    const promise = work(...rest);
    if (callback === null) return promise;
    // Outside of the promise: what a callback throws is no rejection.
    promise.then(
      (result) => process.nextTick(callback, null, result),
      (error) => process.nextTick(callback, error),
    );
    return undefined;
  };
}

/** @returns {Promise<ProcessDescription[]>} */
async function list() {
  return JSON.parse(await gapless(['pm2', 'jlist']));
}

/**
 * Return which processes a name, an id, a namespace or `all` means.
 * @param {ProcessDescription[]} items
 * @param {string | number} word
 */
function meantBy(items, word) {
  const text = String(word);
  if (text === 'all') return items;
  const named = items.filter((item) => item.name === text);
  if (named.length > 0) return named;
  if (/^\d+$/.test(text)) return items.filter((item) => item.pm_id === Number(text));
  return items.filter((item) => item.pm2_env.namespace === text);
}

/**
 * Return the processes that a word means. Rejects if there are none.
 * @param {string | number} word
 */
async function some(word) {
  const found = meantBy(await list(), word);
  if (found.length === 0) throw new Error(NOT_FOUND);
  return found;
}

/**
 * @param {unknown} target
 * @returns {{ word: string, input: string }} what stands on the command line, and the input
 */
function declarationOf(target) {
  if (typeof target === 'string') {
    return { word: target.startsWith('-') ? `./${target}` : target, input: '' };
  }
  return { word: '-', input: JSON.stringify(target) };
}

/**
 * @param {Record<string, any>} options
 * @returns {string[]}
 */
function wordsOf(options) {
  const words = [];
  if (typeof options.env === 'string') words.push(`--env=${options.env}`);
  if (options.only) words.push(`--only=${options.only}`);
  if (options.updateEnv) words.push('--update-env');
  return words;
}

/**
 * Start a script, a declaration or a file.
 * @param {string | object} target
 * @param {Record<string, any>} [options]
 */
async function start(target, options = {}) {
  const isFile = typeof target === 'string' && FILES.test(path.basename(target));
  let declared = target;
  let words = wordsOf(options);
  if (typeof target === 'string' && !isFile) {
    const { force, updateEnv, ...fields } = options;
    declared = { script: target, ...fields };
    words = [];
    if (!force) await refuseSecond(target, options.name);
  }
  const { word, input } = declarationOf(declared);
  const reports = JSON.parse(await gapless(['start', word, ...words, '--json'], input));
  return ofReports(reports);
}

/**
 * @param {string} script
 * @param {string} [name]
 */
async function refuseSecond(script, name) {
  const place = path.resolve(script);
  const isSame = (/** @type {ProcessDescription} */ item) =>
    item.pm2_env.pm_exec_path === place && (name === undefined || item.name === name);
  const running = (await list()).filter((item) => item.pid > 0);
  if (running.some(isSame)) throw new Error('Script already launched');
}

/** @param {any} reports */
async function ofReports(reports) {
  const names = [reports].flat().map((report) => report.app);
  return (await list()).filter((item) => names.includes(item.pm2_env.gapless_app));
}

/**
 * Return a call that runs a verb about apps, or about what a declaration or a file names.
 * @param {string} verb
 */
function about(verb) {
  return async (/** @type {any} */ target, /** @type {Record<string, any>} */ options = {}) => {
    const isWord = typeof target === 'number' || typeof target === 'string';
    const isFile = isWord && FILES.test(path.basename(String(target)));
    const before = isWord && !isFile ? await some(target) : await list();
    const { word, input } = declarationOf(isWord ? String(target) : target);
    await gapless(['pm2', verb, word, ...wordsOf(options)], input);
    const now = await list();
    if (isWord && !isFile) {
      const ids = before.map((item) => item.pm_id);
      const found = now.filter((item) => ids.includes(item.pm_id));
      return verb === 'delete' ? before.map(asDeleted) : found;
    }
    return verb === 'delete' ? before.filter((old) => !has(now, old)).map(asDeleted) : now;
  };
}

/**
 * @param {ProcessDescription[]} items
 * @param {ProcessDescription} one
 */
function has(items, one) {
  return items.some((item) => item.pm_id === one.pm_id);
}

/**
 * @param {ProcessDescription} item
 * @returns {ProcessDescription}
 */
function asDeleted(item) {
  return { ...item, pid: 0, pm2_env: { ...item.pm2_env, status: 'stopped' } };
}

/** @param {any} id */
async function one(id) {
  const found = (await list()).find((item) => item.pm_id === Number(id));
  if (found === undefined) throw new Error(`Process with ID <${id}> unknown.`);
  return found;
}

/**
 * @param {any} id an id, or the packet that has it
 * @param {any} [packet]
 */
async function sendDataToProcessId(id, packet) {
  const whole = packet === undefined ? id : { ...packet, id: Number(id) };
  if (!whole || whole.id === undefined || whole.data === undefined || !whole.topic) {
    throw new Error('ID, DATA or TOPIC field is missing');
  }
  const item = await one(whole.id);
  const fields = { app: item.pm2_env.gapless_app, ids: [item.pm_id], message: JSON.stringify(whole) };
  const { sent } = await request('send', fields);
  if (sent.length === 0) throw new Error(`Process with ID <${whole.id}> offline.`);
  return { success: true, data: whole };
}

/**
 * @param {string | number} signal
 * @param {ProcessDescription[]} items
 */
async function signalAll(signal, items) {
  for (const item of items) {
    const word = typeof signal === 'number' ? nameOf(signal) : signal;
    await request('signal', { app: item.pm2_env.gapless_app, ids: [item.pm_id], signal: word });
  }
  return items;
}

/** @param {number} number */
function nameOf(number) {
  const { signals } = require('node:os').constants;
  const found = Object.entries(signals).find(([, each]) => each === number);
  if (found === undefined) throw new Error(`there is no signal ${number}`);
  return found[0];
}

/** Tell whether a supervisor runs; the first app starts one, and looking needs none. */
async function connect() {
  const wasThere = await request('ping').then(
    () => true,
    () => false,
  );
  const home = homeOf();
  const place = path.join(home, 'supervisor.sock');
  return {
    new_pm2_instance: !wasThere,
    rpc_socket_file: place,
    pub_socket_file: place,
    pm2_home: home,
  };
}

async function launchBus() {
  const bus = new Bus(list);
  buses.add(bus);
  await bus.open();
  return bus;
}

async function disconnect() {
  for (const bus of buses) bus.close();
  buses.clear();
  return { success: true };
}

/** @param {...string} words */
const simply = async (...words) => {
  await gapless(['pm2', ...words]);
  return { success: true };
};

/** @param {string | number} [word] */
const pids = async (word = 'all') => meantBy(await list(), word).map((item) => item.pid);

/** The same calls as an object of its own, as tools make one; the home is that of all. */
class Custom {
  /** @param {{ pm2_home?: string }} [options] */
  constructor(options = {}) {
    const home = options.pm2_home;
    if (home && homeOf({ ...process.env, PM2_HOME: home }) !== homeOf()) {
      throw new Error(`pm2_home: ${home} is not the home of this process; set PM2_HOME to it`);
    }
    Object.assign(this, module.exports);
  }
}

module.exports = {
  custom: Custom,
  connect: call(connect),
  disconnect: call(disconnect),
  launchBus: call(launchBus),
  list: call(list),
  describe: call(async (word) => {
    const items = await list();
    return items.filter((item) => item.name === word || item.pm_id === Number(word));
  }),
  start: call(start),
  restart: call(about('restart')),
  reload: call(about('reload')),
  gracefulReload: call(about('reload')),
  stop: call(about('stop')),
  delete: call(about('delete')),
  scale: call(async (name, count) => simply('scale', String(name), String(count))),
  reset: call(async (name) => simply('reset', String(name))),
  flush: call(async (word = 'all') => {
    const found = await some(word);
    await gapless(['pm2', 'flush', String(word)]);
    return found;
  }),
  reloadLogs: call(async () => ({ success: true })),
  dump: call(async () => simply('save', '--force')),
  killDaemon: call(async () => simply('kill')),
  getPID: call(pids),
  getVersion: call(async () => (await gapless(['--version'])).split('\n')[0].trim().split(' ').pop()),
  sendDataToProcessId: call(sendDataToProcessId),
  sendSignalToProcessId: call(async (signal, id) => signalAll(signal, [await one(id)])),
  sendSignalToProcessName: call(async (signal, name) => signalAll(signal, await some(name))),
  trigger: call(async (word, action, parameter) => {
    const more = parameter === undefined || parameter === null ? [] : [parameter];
    await gapless(['pm2', 'trigger', String(word), String(action), ...more.map(String)]);
    return some(word);
  }),
};
