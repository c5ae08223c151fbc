// Hono: `node hono.mjs`.
import { serve } from '@hono/node-server';
import { Drain } from 'gapless-drain';
import { Hono } from 'hono';
import books from './books.js';

const { closeTheMonth, hello, keepBooks, release, wait } = books;
const drain = new Drain();
keepBooks(drain);
const app = new Hono();
app.use(async (context, next) => {
  await next();
  context.header('X-Release', `release ${release}`);
});
app.get('/', (context) => context.text(hello()));
app.get('/slow', async (context) => {
  await wait(Number(context.req.query('s') || 0.5));
  return context.text(hello());
});
app.get('/procedure', async (context) => {
  await closeTheMonth(drain, Number(context.req.query('s') || 5));
  return context.text(hello());
});
app.post('/echo', async (context) => context.body(await context.req.arrayBuffer()));
const options = { fetch: app.fetch, port: Number(process.env.PORT), hostname: '127.0.0.1' };
drain.attach(serve(options, () => drain.ready()));
