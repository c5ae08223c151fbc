"""An aiohttp app that logs the number of each request."""

import os

import numbers_log
from aiohttp import web


async def number(request):
    body = await request.read()
    answer = numbers_log.done(request.method, request.query_string, len(body))
    return web.Response(body=answer)


app = web.Application(client_max_size=16_000_000)
app.router.add_route("*", "/{path:.*}", number)
web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), access_log=None)
