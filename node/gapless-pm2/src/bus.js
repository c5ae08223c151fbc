'use strict';
// The bus of PM2: events of processes, what they print, and what they send. The supervisor
// is asked twice a second, logs are read where they are.

const path = require('node:path');
const { request } = require('./control.js');
const { homeOf } = require('./home.js');
const { Tail, sizesIn } = require('./tail.js');

/** @typedef {import('./types.js').ProcessDescription} ProcessDescription */
/** @typedef {{ event: string, item: ProcessDescription }} Change */

const POLL_MS = 500;
const LOG_MS = 200;

/**
 * Return what has happened between two lists of processes. How often one had restarted when
 * it was online last is noted in *restarts*: in the middle of a restart it may have been seen
 * without a process, or with the next one.
 * @param {Map<number, ProcessDescription>} before
 * @param {Map<number, ProcessDescription>} now
 * @param {Map<number, number>} restarts
 * @returns {Change[]}
 */
function changes(before, now, restarts) {
  /** @type {Change[]} */
  const found = [];
  for (const [id, item] of now) {
    const was = before.get(id);
    const isOnline = item.pm2_env.status === 'online' && item.pid > 0;
    const wasOnline = was !== undefined && was.pm2_env.status === 'online' && was.pid > 0;
    if (wasOnline && was.pid !== item.pid) found.push({ event: 'exit', item: was });
    if (isOnline && (!wasOnline || was.pid !== item.pid)) {
      found.push({ event: 'online', item });
      const known = restarts.get(id);
      const count = item.pm2_env.restart_time;
      // One that is lower was set to 0 since.
      if (known !== undefined && count > (count < known ? 0 : known)) {
        found.push({ event: 'restart', item });
      }
    }
    if (isOnline) restarts.set(id, item.pm2_env.restart_time);
    if (wasOnline && item.pid === 0 && item.pm2_env.status === 'stopped') {
      found.push({ event: 'stop', item });
    }
  }
  for (const [id, was] of before) {
    if (now.has(id)) continue;
    restarts.delete(id);
    if (was.pid > 0) found.push({ event: 'exit', item: was });
    found.push({ event: 'delete', item: was });
  }
  return found;
}

/** Emits events by name; in a name that is listened for `*` stands for anything. */
class Bus {
  /** @param {() => Promise<ProcessDescription[]>} list */
  constructor(list) {
    this.list = list;
    /** @type {{ pattern: string, expression: RegExp, listener: Function }[]} */
    this.listeners = [];
    /** @type {Map<number, ProcessDescription>} */
    this.items = new Map();
    /** @type {Map<number, number>} */
    this.restarts = new Map();
    /** @type {Map<string, { tail: Tail, event: string, item: ProcessDescription }>} */
    this.tails = new Map();
    this.isOpen = false;
    this.since = 0;
    /** @type {Map<string, number>} */
    this.sizes = new Map();
    this.rows = '';
    this.number = 0;
    /** @type {Set<NodeJS.Timeout>} */
    this.timers = new Set();
  }

  /** Begin with what is there now. */
  async open() {
    this.isOpen = true;
    this.since = Date.now();
    this.sizes = sizesIn(path.join(homeOf(), 'logs'));
    try {
      this.number = (await request('messages', { number: 0 })).last;
      this.rows = await this.look();
      this.take(await this.list());
      changes(new Map(), this.items, this.restarts);
    } catch (error) {
      // No supervisor runs yet: all that comes is new.
      if (!(error instanceof Error)) throw error;
    }
    this.again(POLL_MS, () => this.poll());
    this.again(LOG_MS, async () => this.readLogs());
  }

  /**
   * @param {string} pattern
   * @param {Function} listener gets what each `*` stands for, and what was emitted
   */
  on(pattern, listener) {
    const escaped = pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '(.*)');
    this.listeners.push({ pattern, expression: new RegExp(`^${escaped}$`), listener });
    return this;
  }

  /**
   * @param {string} pattern
   * @param {Function} [listener]
   */
  off(pattern, listener) {
    this.listeners = this.listeners.filter(
      (each) => each.pattern !== pattern || (listener && each.listener !== listener),
    );
    return this;
  }

  /**
   * @param {string} event
   * @param {unknown} content
   */
  emit(event, content) {
    for (const { expression, listener } of this.listeners) {
      const found = expression.exec(event);
      // Later: what a listener throws is the program's.
      if (found !== null) process.nextTick(listener, ...found.slice(1), content);
    }
  }

  /** End it: nothing is emitted any more, and nothing keeps the program alive. */
  close() {
    this.isOpen = false;
    for (const timer of this.timers) clearTimeout(timer);
    for (const { tail } of this.tails.values()) tail.close();
    this.tails.clear();
  }

  /**
   * @param {number} pause
   * @param {() => Promise<void>} work
   */
  again(pause, work) {
    if (!this.isOpen) return;
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      work().then(() => this.again(pause, work));
    }, pause);
    this.timers.add(timer);
  }

  /** Return what changes when processes come and go, as a text. */
  async look() {
    const { apps } = await request('list');
    return JSON.stringify(
      apps.map((/** @type {any} */ row) => [
        ...[row.name, row.status, row.pids, row.ids, row.generation, row.instances],
        row.restarts,
      ]),
    );
  }

  async poll() {
    try {
      const { last, messages } = await request('messages', { number: this.number });
      this.number = last;
      const rows = await this.look();
      if (rows !== this.rows) {
        const before = this.items;
        this.take(await this.list());
        this.rows = rows;
        this.tellChanges(before);
      }
      if (this.isOpen) for (const each of messages) this.tellMessage(each);
    } catch (error) {
      // The supervisor is away: everything is told when it is back.
      if (!(error instanceof Error)) throw error;
    }
  }

  /** @param {ProcessDescription[]} list */
  take(list) {
    if (!this.isOpen) return;
    this.items = new Map(list.map((item) => [item.pm_id, item]));
    this.followLogs(list);
  }

  /** @param {Map<number, ProcessDescription>} before */
  tellChanges(before) {
    if (!this.isOpen) return;
    for (const { event, item } of changes(before, this.items, this.restarts)) {
      const { env, ...rest } = item.pm2_env;
      const content = { event, manually: false, process: rest, at: Date.now() };
      this.emit('process:event', content);
    }
  }

  /** @param {ProcessDescription[]} list */
  followLogs(list) {
    const wanted = new Map();
    for (const item of list) {
      const { pm_out_log_path: out, pm_err_log_path: err } = item.pm2_env;
      if (err && err !== out && !wanted.has(err)) wanted.set(err, { event: 'log:err', item });
      if (out && !wanted.has(out)) wanted.set(out, { event: 'log:out', item });
    }
    for (const [file, { tail }] of this.tails) {
      if (wanted.has(file)) continue;
      tail.close();
      this.tails.delete(file);
    }
    for (const [file, each] of wanted) {
      const known = this.tails.get(file);
      const tail = known ? known.tail : new Tail(file, this.since, this.sizes.get(file));
      this.tails.set(file, { ...each, tail });
    }
  }

  readLogs() {
    for (const { tail, event, item } of this.tails.values()) {
      const text = tail.read();
      if (text !== '') this.emit(event, this.content(item, Date.now(), text));
    }
  }

  /** @param {{ id: number, at: string, app: string, message: any }} heard */
  tellMessage(heard) {
    const { message } = heard;
    const isTyped = message !== null && typeof message === 'object' && message.type;
    const item = this.items.get(heard.id);
    const known = item || { pm_id: heard.id, name: heard.app, pm2_env: { namespace: '' } };
    const content = this.content(known, Date.parse(heard.at), isTyped ? message.data : message);
    this.emit(isTyped ? String(message.type) : 'process:msg', { ...content, raw: message });
  }

  /**
   * @param {{ pm_id: number, name: string, pm2_env: { namespace: string } }} item
   * @param {number} at
   * @param {unknown} data
   */
  content({ pm_id, name, pm2_env }, at, data) {
    return { process: { pm_id, name, rev: null, namespace: pm2_env.namespace }, at, data };
  }
}

module.exports = { Bus, changes };
