// Does what wsgi_app.py does, with Deno.serve only.
const release = `release ${Deno.env.get('RELEASE') || '0'}`;
const headers = { 'X-Release': release };
const hostname = Deno.env.get('HOST') || '127.0.0.1';

Deno.serve({ hostname, port: Number(Deno.env.get('PORT')) }, async (request) => {
  const url = new URL(request.url);
  if (request.method === 'POST') return new Response(await request.arrayBuffer(), { headers });
  const wait = url.pathname === '/slow' ? Number(url.searchParams.get('s') || 0.5) : 0;
  if (wait) await new Promise((done) => setTimeout(done, wait * 1000));
  return new Response(`${release} pid ${Deno.pid}\n`, { headers });
});
