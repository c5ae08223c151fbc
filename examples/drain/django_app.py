"""Django in one file: `gunicorn django_app:app`.  In a project the line is in wsgi.py."""

import os
import time

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from gapless_drain import Drain
from procedures import close_the_month, keep_books

RELEASE = os.environ.get("RELEASE", "0")
HEADERS = {"X-Release": f"release {RELEASE}"}
settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="an example", ALLOWED_HOSTS=["*"])
drain = Drain()
keep_books(drain)


def hello(request):
    time.sleep(float(request.GET.get("s", 0)))
    return HttpResponse(f"release {RELEASE} pid {os.getpid()}\n", headers=HEADERS)


@csrf_exempt
def echo(request):
    return HttpResponse(request.body, headers=HEADERS)


def procedure(request):
    close_the_month(drain, float(request.GET.get("s", 5)))
    return HttpResponse(f"release {RELEASE}\n", headers=HEADERS)


urlpatterns = [
    path("", hello),
    path("slow", hello),
    path("echo", echo),
    path("procedure", procedure),
]
app = drain.wsgi(get_wsgi_application())
