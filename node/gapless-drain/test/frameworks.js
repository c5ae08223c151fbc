'use strict';
// The same small app in each framework: it answers hello, echo, slow and fail.

const http = require('node:http');

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function body(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function plain(request, response) {
  request.on('error', () => {}); // the client went away
  if (request.url === '/fail') {
    response.statusCode = 500;
    return response.end('asked for');
  }
  if (request.url === '/slow') await wait(300);
  const got = await body(request).catch(() => null);
  return response.end(request.method === 'POST' ? got : 'hello');
}

const listening = (server) =>
  new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));

const FRAMEWORKS = {
  http: () => listening(http.createServer(plain)),
  async express() {
    const app = require('express')();
    app.get('/', (request, response) => response.send('hello'));
    app.get('/slow', async (request, response) => {
      await wait(300);
      response.send('hello');
    });
    app.post('/', async (request, response) => response.send(await body(request)));
    app.get('/fail', () => {
      throw Object.assign(new Error('asked for'), { expose: false });
    });
    app.set('env', 'test');
    return new Promise((resolve) => {
      const server = app.listen(0, '127.0.0.1', () => resolve(server));
    });
  },
  async koa() {
    const Koa = require('koa');
    const app = new Koa();
    app.silent = true;
    app.use(async (context) => {
      if (context.path === '/fail') throw new Error('asked for');
      if (context.path === '/slow') await wait(300);
      context.body = context.method === 'POST' ? await body(context.req) : 'hello';
    });
    return new Promise((resolve) => {
      const server = app.listen(0, '127.0.0.1', () => resolve(server));
    });
  },
  async fastify() {
    const fastify = require('fastify')();
    fastify.addContentTypeParser('*', (request, payload, done) => {
      body(payload).then((got) => done(null, got), done);
    });
    fastify.get('/', async () => 'hello');
    fastify.get('/slow', async () => {
      await wait(300);
      return 'hello';
    });
    fastify.post('/', async (request) => request.body);
    fastify.get('/fail', async () => {
      throw new Error('asked for');
    });
    await fastify.listen({ port: 0, host: '127.0.0.1' });
    return fastify.server;
  },
  async hono() {
    const { Hono } = await import('hono');
    const { serve } = await import('@hono/node-server');
    const app = new Hono();
    app.onError((error, context) => context.text('asked for', 500));
    app.get('/', (context) => context.text('hello'));
    app.get('/slow', async (context) => {
      await wait(300);
      return context.text('hello');
    });
    app.post('/', async (context) => context.body(await context.req.arrayBuffer()));
    app.get('/fail', () => {
      throw new Error('asked for');
    });
    return new Promise((resolve) => {
      const options = { fetch: app.fetch, port: 0, hostname: '127.0.0.1' };
      const server = serve(options, () => resolve(server));
    });
  },
};

module.exports = { FRAMEWORKS, listening, plain, wait };
