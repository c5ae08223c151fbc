'use strict';
// Koa: `node koa.js`.
const Koa = require('koa');
const { Drain } = require('gapless-drain');
const { closeTheMonth, hello, keepBooks, release, wait, whole } = require('./books.js');

const drain = new Drain();
keepBooks(drain);
const app = new Koa();
app.use(async (context) => {
  const seconds = Number(context.query.s || 0.5);
  context.set('X-Release', `release ${release}`);
  if (context.path === '/slow') await wait(seconds);
  if (context.path === '/procedure') await closeTheMonth(drain, seconds);
  context.body = context.method === 'POST' ? await whole(context.req) : hello();
});
drain.attach(app.listen(Number(process.env.PORT), '127.0.0.1', () => drain.ready()));
