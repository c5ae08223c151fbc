"""Flask: `gunicorn flask_app:app`."""

import os
import time

from flask import Flask, request
from gapless_drain import Drain
from procedures import close_the_month, keep_books

RELEASE = os.environ.get("RELEASE", "0")
HEADERS = {"X-Release": f"release {RELEASE}"}
drain = Drain()
keep_books(drain)
app = Flask(__name__)
app.wsgi_app = drain.wsgi(app.wsgi_app)


@app.get("/")
@app.get("/slow")
def hello():
    time.sleep(float(request.args.get("s", 0)))
    return f"release {RELEASE} pid {os.getpid()}\n", HEADERS


@app.post("/echo")
def echo():
    return request.get_data(), HEADERS


@app.get("/procedure")
def procedure():
    close_the_month(drain, float(request.args.get("s", 5)))
    return f"release {RELEASE}\n", HEADERS
