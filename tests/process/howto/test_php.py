"""The page for PHP-FPM behind nginx."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from rig.fixtures.howto import HowTo
from rig.hosts.host import Host
from rig.wait import free_port

PHP = "<?php require __DIR__ . '/../release.php';\n"
RELEASE = "<?php echo 'release 1 pid ' . getmypid();\n"


@pytest.mark.soak
def test_php_fpm_and_nginx(host: Host, tmp_path: Path) -> None:
    """Each request runs one release; nginx finds a socket on the path at any time."""
    port = free_port()
    page = HowTo(host, "php-fpm", **{"listen 80": f"listen 127.0.0.1:{port}"})
    page.lay_out()
    page.path("/etc/nginx/fastcgi_params").symlink_to("/etc/nginx/fastcgi_params")
    first = {"public/index.php": PHP, "release.php": RELEASE}
    newer = {"release.php": RELEASE.replace("1", "2")}
    page.write("/home/ada/shop", first)
    if os.geteuid() == 0:
        shutil.chown(page.path("/run/shop"), group="www-data")
        page.path("/run/shop").chmod(0o750)
    with page.nginx(tmp_path):
        found = page.follow(
            port, {("tar", 2): lambda: page.write("/home/ada/shop", newer)}
        )
    assert set(found) == {"1", "2"}
