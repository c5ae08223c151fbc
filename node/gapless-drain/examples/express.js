'use strict';
// Express 5: `node express.js`.
const express = require('express');
const { Drain } = require('gapless-drain');
const { closeTheMonth, hello, keepBooks, release, wait, whole } = require('./books.js');

const drain = new Drain();
keepBooks(drain);
const app = express();
app.use((request, response, next) => {
  response.set('X-Release', `release ${release}`);
  next();
});
app.get('/', (request, response) => response.send(hello()));
app.get('/slow', async (request, response) => {
  await wait(Number(request.query.s || 0.5));
  response.send(hello());
});
app.get('/procedure', async (request, response) => {
  await closeTheMonth(drain, Number(request.query.s || 5));
  response.send(hello());
});
app.post('/echo', async (request, response) => response.send(await whole(request)));
drain.attach(app.listen(Number(process.env.PORT), '127.0.0.1', () => drain.ready()));
