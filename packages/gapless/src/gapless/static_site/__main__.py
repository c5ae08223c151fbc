"""Serve a directory until a signal: `python -m gapless.static_site`, run by `pm2 serve`."""

from __future__ import annotations

import contextlib
import os
import sys

from gapless.base.errors import DONE, FAILED, MISUSE
from gapless.config.site import INSTALL
from gapless.static_site.settings import read


def main() -> int:
    """Serve; return the exit code."""
    try:
        settings = read(sys.argv[1:], os.environ)
    except ValueError as error:
        print(f"serve: {error}", file=sys.stderr)
        return MISUSE
    try:
        import uvicorn  # noqa: PLC0415 - an optional extra
        from gapless_drain import Drain  # noqa: PLC0415 - the same
        from starlette.applications import Starlette  # noqa: PLC0415 - the same
        from starlette.routing import Mount  # noqa: PLC0415 - the same

        from gapless.static_site.basic_authentication import (  # noqa: PLC0415 - the same
            BasicAuthentication,
        )
        from gapless.static_site.site import Site  # noqa: PLC0415 - the same
    except ImportError as error:
        print(f"serve: {error}: {INSTALL}", file=sys.stderr)
        return FAILED
    site = Starlette(routes=[Mount("/", Site(settings))])
    app = (
        site
        if settings.credentials is None
        else BasicAuthentication(site, settings.credentials)
    )
    print(
        f"serving {settings.directory} on {settings.host}:{settings.port}", flush=True
    )
    with contextlib.suppress(KeyboardInterrupt):  # its requests have ended
        uvicorn.run(
            Drain().asgi(app),
            host=settings.host,
            port=settings.port,
            lifespan="off",
            access_log=False,
            server_header=False,
            log_level="warning",
        )
    return DONE


if __name__ == "__main__":
    sys.exit(main())
