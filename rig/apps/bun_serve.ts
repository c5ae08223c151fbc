// Does what wsgi_app.py does, with Bun.serve only.
const release = `release ${process.env.RELEASE || '0'}`;
const headers = { 'X-Release': release };

Bun.serve({
  hostname: process.env.HOST || '127.0.0.1',
  port: Number(process.env.PORT),
  async fetch(request) {
    const url = new URL(request.url);
    if (request.method === 'POST') return new Response(await request.arrayBuffer(), { headers });
    const wait = url.pathname === '/slow' ? Number(url.searchParams.get('s') || 0.5) : 0;
    if (wait) await Bun.sleep(wait * 1000);
    return new Response(`${release} pid ${process.pid}\n`, { headers });
  },
});
