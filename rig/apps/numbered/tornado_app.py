"""A tornado app that logs the number of each request."""

import asyncio
import os

import numbers_log
import tornado.web


class Number(tornado.web.RequestHandler):
    def get(self):
        request = self.request
        self.finish(numbers_log.done(request.method, request.query, len(request.body)))

    post = get


async def main():
    app = tornado.web.Application([("/.*", Number)])
    app.listen(int(os.environ["PORT"]), "127.0.0.1")
    await asyncio.Event().wait()


asyncio.run(main())
