"""The pages for Python: nginx with gunicorn, Django, and what runs jobs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from rig.fixtures.howto import HowTo
from rig.hosts.host import APPS, SERVERS, Host
from rig.wait import free_port


def test_nginx_and_gunicorn(host: Host, tmp_path: Path) -> None:
    """Nginx is in the group that may enter the directory, and answers no 502."""
    port = free_port()
    page = HowTo(host, "nginx-gunicorn", **{"listen 80": f"listen 127.0.0.1:{port}"})
    shop = page.path("/srv/shop")
    shutil.copy(APPS / "wsgi_app.py", shop / "app.py")
    (shop / ".venv").symlink_to(SERVERS.parent)
    page.lay_out()
    if os.geteuid() == 0:
        shutil.chown(page.path("/run/shop"), group="www-data")
        page.path("/run/shop").chmod(0o750)
    with page.nginx(tmp_path):
        page.follow(port)


SETTINGS = """
import os
SECRET_KEY = os.environ["SECRET_KEY"]
ROOT_URLCONF = "shop.urls"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["books"]
DATABASES = {"default": {
    "ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"]}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""
URLS = """
import os
from django.http import HttpResponse
from django.urls import path
from books.models import Book

def page(request):
    titles = [each.NAMED for each in Book.objects.all()]
    return HttpResponse(f"release NAMED pid {os.getpid()} {titles}")

urlpatterns = [path("", page)]
"""
WSGI = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""
MANAGE = """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
MODELS = """
from django.db import models

class Book(models.Model):
    name = models.CharField(max_length=50)
"""
EXPANDED = "    title = models.CharField(max_length=50, null=True)\n"
FIRST = """
from django.db import migrations, models

def add(apps, schema):
    apps.get_model("books", "Book").objects.create(name="gap")

class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel("Book", [
            ("id", models.BigAutoField(primary_key=True)),
            ("name", models.CharField(max_length=50)),
        ]),
        migrations.RunPython(add, migrations.RunPython.noop),
    ]
"""
EXPAND = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("books", "0001_first")]
    operations = [migrations.AddField(
        "book", "title", models.CharField(max_length=50, null=True))]
"""


@pytest.mark.soak
def test_django_with_a_migration(host: Host) -> None:
    """The old code serves on the new table, before the switch and after the rollback."""
    port = free_port()
    page = HowTo(host, "django", port_8000=str(port))
    database = page.path("/srv/shop/shop.sqlite3")
    page.write("/etc", {"shop.env": f"SECRET_KEY=x\nDATABASE={database}\n"})
    page.lay_out()
    project = {
        "requirements.txt": "django\ngunicorn\n",
        "manage.py": MANAGE,
        "shop/__init__.py": "",
        "shop/settings.py": SETTINGS,
        "shop/urls.py": URLS.replace("NAMED", "name"),
        "shop/wsgi.py": WSGI,
        "books/__init__.py": "",
        "books/models.py": MODELS,
        "books/migrations/__init__.py": "",
        "books/migrations/0001_first.py": FIRST,
    }
    page.write("/home/ada/shop", project)
    expanded = {
        "shop/urls.py": URLS.replace("NAMED", "title"),
        "books/models.py": MODELS + EXPANDED,
        "books/migrations/0002_title.py": EXPAND,
    }
    found = page.follow(
        port, {("tar", 2): lambda: page.write("/home/ada/shop", expanded)}
    )
    assert set(found) == {"name", "title"}
