"""The keys of [release.NAME], [rollout.NAME] and [coordinator], and what they mean.

As in `app_schema.py`: the text below a key is its description in the reference.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from gapless.config.toml.schema import Command, Seconds, Table


class Hooks(Table, frozen=True):
    """Commands that run once for each release."""

    before_flip: Command = ""
    """When the release is built, before any host changes; if it fails the upload is
    refused.

    Example: "npm run migrate"
    """
    after: Command = ""
    """When every host runs the release, also after a rollback.

    Example: "./tell-everybody"
    """
    failed: Command = ""
    """When the rollout was held or turned back.

    Example: "./tell-us"
    """
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 300.0
    """How long a hook may take.

    Example: 900
    """


class Bounds(Table, frozen=True):
    """How much a tarball may hold."""

    max_unpacked_mb: Annotated[int, msgspec.Meta(ge=1)] = 2048
    """All its files together.

    Example: 500
    """
    max_files: Annotated[int, msgspec.Meta(ge=1)] = 200_000
    """How many files it may have.

    Example: 50000
    """
    max_upload_mb: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """What the tarball itself may have; without the key as much as `max_unpacked_mb`.

    Example: 200
    """
    max_depth: Annotated[int, msgspec.Meta(ge=1, le=200)] = 100
    """How many directories may lie in each other.

    Example: 50
    """
    max_memory_mb: Annotated[int, msgspec.Meta(ge=64)] = 512
    """The memory that unpacking may take.

    Example: 1024
    """
    timeout_s: Annotated[float, msgspec.Meta(ge=1, le=86400)] = 600.0
    """How long unpacking may take.

    Example: 120
    """


class Release(Table, frozen=True):
    """How tarballs of an app become releases."""

    base: str
    """The directory with src/ and dist/ in it, relative to this file.

    Example: "/mnt/dfs"
    """
    push: str = ""
    """Where `gapless push` uploads to: user@host:/path, or a directory.

    Example: "deploy@release.example:/mnt/dfs"
    """
    build: str | list[str | list[str]] | None = None
    """A command, or a list of commands; without the key what the files ask for: `npm
    ci` and `uv sync --frozen`.

    Example: [["npm", "ci"], ["npm", "run", "build"]]
    """
    build_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 600.0
    """How long a build may take; then the upload is refused.

    Example: 1800
    """
    build_user: str = ""
    """The user that builds and hooks run as; needs a publisher of root.

    Example: "build"
    """
    build_environment: tuple[str, ...] | dict[str, str | int | bool] = ()
    """Names of variables that pass, or NAME=value; or a table of values.

    Example: ["NPM_TOKEN", "NODE_ENV=production"]
    """
    build_scripts: bool = True
    """`false`: no code of a dependency runs when it is installed.

    Example: false
    """
    signers: str = ""
    """A file of allowed signers, beside this one: an upload is a release only if one of
    them signed it.

    Example: "allowed_signers"
    """
    signing_key: str = ""
    """The key with which the publisher signs what it rolls out.

    Example: "/etc/gapless/signing_key"
    """
    shared: tuple[str, ...] = ()
    """Paths inside a release that are links to what all releases share.

    Example: [".env", "uploads"]
    """
    keep: Annotated[int, msgspec.Meta(ge=1)] = 5
    """How many releases are kept to go back to.

    Example: 10
    """
    hooks: Hooks = Hooks()
    """Commands that run once for each release.

    Example: { before_flip = "npm run migrate" }
    """
    limits: Bounds = Bounds()
    """How much a tarball may hold.

    Example: { max_unpacked_mb = 500 }
    """


class Rollout(Table, frozen=True):
    """How a fleet may change."""

    slots: Annotated[int, msgspec.Meta(ge=1)] | str = 1
    """How many hosts may be changing at once: a number, or per cent of the fleet.

    Example: "25%"
    """
    canary: tuple[str, ...] = ()
    """Hosts that go first, by name.

    Example: ["app1"]
    """
    bake_s: Seconds = 0.0
    """How long canaries are watched before others begin.

    Example: 60
    """
    waves: tuple[int | str, ...] = ()
    """How many hosts, or per cent, have changed at the end of each stage; the rest
    follows.

    Example: [2, "50%"]
    """
    min_healthy_s: Seconds = 2.0
    """How long every host is watched.

    Example: 10
    """
    max_failures: Annotated[int, msgspec.Meta(ge=0)] = 0
    """So many hosts may fail before the rollout is held or turned back.

    Example: 1
    """
    revert: bool = True
    """Take the hosts that have changed back after a failure; `false`: hold.

    Example: false
    """
    fetch_timeout_s: Seconds = 300.0
    """How long a host may take until it sees, or has copied, the release.

    Example: 900
    """
    change_timeout_s: Seconds = 600.0
    """How long a host may take to change.

    Example: 300
    """
    deadline_s: Seconds = 0.0
    """How long the whole way to the release may take; 0: any time.

    Example: 3600
    """
    revert_deadline_s: Seconds = 0.0
    """How long the whole way back may take; 0: any time.

    Example: 1800
    """
    slot_ttl_s: Seconds = 15.0
    """A host that was not heard for so long has lost its slot.

    Example: 30
    """
    gone_s: Seconds = 90.0
    """A host that was not heard for so long is not waited for; more than twice
    `slot_ttl_s`.

    Example: 180
    """
    freeze: tuple[str, ...] = ()
    """When no host begins, on its local time.

    Example: ["fri 16:00 - mon 08:00", "22:00 - 06:00"]
    """
    copy: bool | str = False
    """Let each host copy releases to its own disk: `true` for $GAPLESS_HOME/releases,
    or a directory.

    Example: "/var/lib/releases"
    """
    publishers: str = ""
    """A file of allowed signers: hosts run only what one of them has signed.

    Example: "allowed_publishers"
    """
    declaration: str = ""
    """The file in each release that declares the app; empty: the agent finds it.

    Example: "app.json"
    """
    profile: str = ""
    """The NAME of the env_NAME of a PM2 declaration.

    Example: "production"
    """
    health: Annotated[
        str, msgspec.Meta(pattern="^(/.*)?$", title="a path that begins with /")
    ] = ""
    """The path that a changed host is asked for while it is watched; empty: that of the
    app's own probe.

    Example: "/health"
    """
    health_listen: Annotated[
        str, msgspec.Meta(pattern=r"^(.*:\d{1,5})?$", title="[HOST]:PORT")
    ] = ""
    """Where the agent answers balancers about its host; empty: nowhere.

    Example: ":3001"
    """
    health_from: tuple[str, ...] = ()
    """The networks from which balancers may ask; none: everybody may.

    Example: ["10.0.0.0/8"]
    """
    address: str = ""
    """Where balancers reach this host, HOST or HOST:PORT; empty: the agent finds it.

    Example: "10.0.0.7:3000"
    """


class Coordinator(Table, frozen=True):
    """Where the hosts agree; without the table in the directory `fleet` below `base`."""

    directory: str = ""
    """A directory that all hosts share, relative to this file.

    Example: "/mnt/dfs/fleet"
    """
    etcd: tuple[
        Annotated[
            str, msgspec.Meta(pattern="^https?://", title="an address like https://...")
        ],
        ...,
    ] = ()
    """The addresses of etcd, in place of a directory.

    Example: ["https://etcd1:2379", "https://etcd2:2379"]
    """
    prefix: str = "gapless"
    """What every key in etcd begins with.

    Example: "team-a"
    """
    user: str = ""
    """The user of etcd.

    Example: "gapless"
    """
    password_file: str = ""
    """A file with the password, which its owner alone may read.

    Example: "/etc/gapless/etcd-password"
    """
    insecure: bool = False
    """Send the password over http to other hosts, where everybody on the way reads it.

    Example: true
    """
    ca_file: str = ""
    """The certificates that etcd is checked against.

    Example: "/etc/gapless/ca.pem"
    """
    certificate_file: str = ""
    """The certificate that is shown to etcd.

    Example: "/etc/gapless/client.pem"
    """
    key_file: str = ""
    """The key of that certificate.

    Example: "/etc/gapless/client.key"
    """
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 5.0
    """How long etcd may take to answer.

    Example: 10
    """
