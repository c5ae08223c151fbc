'use strict';
// Fastify: `node fastify.js`.
const fastify = require('fastify')();
const { Drain } = require('gapless-drain');
const { closeTheMonth, hello, keepBooks, release, wait, whole } = require('./books.js');

const drain = new Drain();
keepBooks(drain);
fastify.addContentTypeParser('*', (request, payload, done) => {
  whole(payload).then((body) => done(null, body), done);
});
fastify.addHook('onRequest', async (request, reply) => {
  reply.header('X-Release', `release ${release}`);
});
fastify.get('/', async () => hello());
fastify.get('/slow', async (request) => {
  await wait(Number(request.query.s || 0.5));
  return hello();
});
fastify.get('/procedure', async (request) => {
  await closeTheMonth(drain, Number(request.query.s || 5));
  return hello();
});
fastify.post('/echo', async (request) => request.body);
drain.attach(fastify.server);
fastify.listen({ port: Number(process.env.PORT), host: '127.0.0.1' }).then(() => drain.ready());
