"""SQLAlchemy and Django, which run one counted statement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gapless_drain import Drain

from rig.databases.database import Database
from rig.drivers import coroutines


def sqlalchemy(name: str) -> Callable[..., Any]:
    """Return a function that runs a statement with SQLAlchemy and a driver."""

    def run(drain: Drain, database: Database, text: str, **options: Any) -> Any:
        import sqlalchemy
        from gapless_drain.databases.sqlalchemy import count

        engine = sqlalchemy.create_engine(_url(name, database))
        count(drain, engine, **options)
        try:
            with engine.begin() as connection:
                result = connection.exec_driver_sql(text)
                return result.fetchall() if result.returns_rows else None
        finally:
            engine.dispose()

    return run


def sqlalchemy_async(name: str) -> Callable[..., Any]:
    """Return a function that runs a statement with asyncio, SQLAlchemy and a driver."""

    def run(drain: Drain, database: Database, text: str, **options: Any) -> Any:
        from gapless_drain.databases.sqlalchemy import count
        from sqlalchemy.ext.asyncio import create_async_engine

        async def work() -> Any:
            engine = create_async_engine(_url(name, database))
            count(drain, engine, **options)
            try:
                async with engine.begin() as connection:
                    result = await connection.exec_driver_sql(text)
                    return result.fetchall() if result.returns_rows else None
            finally:
                await engine.dispose()

        return coroutines.run(work())

    return run


def _url(name: str, database: Database) -> str:
    """Return the URL of a database, with SQLAlchemy's name of the driver."""
    _, separator, rest = database.url.partition("://")
    return name + separator + rest


def django(drain: Drain, database: Database, text: str, **options: Any) -> Any:
    """Return the rows; Django's connections belong to the thread."""
    from django.conf import settings
    from django.db import connections
    from django.db.backends.signals import connection_created
    from gapless_drain.databases.django import count

    if not settings.configured:
        import django

        settings.configure(DATABASES={"default": {}})
        django.setup()
    engine = "mysql" if database.kind == "mariadb" else "postgresql"
    arguments = database.connect_arguments()
    configured = {
        "ENGINE": f"django.db.backends.{engine}",
        "NAME": arguments.pop("database"),
        **{name.upper(): value for name, value in arguments.items()},
    }
    connections.settings = connections.configure_settings({"default": configured})
    connection = connections.create_connection("default")
    connections["default"] = connection
    connection_created.disconnect(dispatch_uid="gapless_drain")
    count(drain, **options)
    try:
        with connection.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall() if cursor.description else None
    finally:
        connection.close()
