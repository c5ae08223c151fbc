"""What the last words of a program mean, and what to write where.  Pure.

Rule 1: the table is the only place that knows messages of programs.
Rule 2: the last line that a row fits decides; of the rows for one line, the first.  How the
program ended says less than what it wrote, and is asked after that.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import NamedTuple

from gapless.supervisor.decide.addresses import OF_ANOTHER

LONGEST_LINE = 2000
"""What a program writes in one line beyond that is no message."""


class Row(NamedTuple):
    """A kind of failure that programs name in words of their own."""

    kind: str
    hint: str
    """`{what}` is the group of that name in the pattern that fits."""
    patterns: tuple[str, ...]
    """Regular expressions, without regard to case; `WHAT` is a word in quotes or not."""
    unnamed: str = "it"
    """What stands for `{what}` where the line names nothing."""


_WHAT = r"""['"`]?(?P<what>[^\s'"`,;]{1,200})"""
_CANNOT = r"(?:can ?not|can't|could not|couldn't|unable to|failed to|fail to)"
_ANOTHER = r"another (?:\w+ ){0,2}(?:instance|process|program|copy|server|node)\b"

TABLE = (
    Row(
        "file watchers",
        "this host allows too few watches on files: raise the sysctl "
        "fs.inotify.max_user_watches (or max_user_instances), or do not let the program "
        "watch its files",
        (
            r"system limit for number of file watchers reached",
            r"inotify.*(?:limit|no space left|too many open files)",
        ),
    ),
    Row(
        "low port",
        "ports below 1024 are not for every user: let a balancer have that port, or give "
        "gapless's unit AmbientCapabilities=CAP_NET_BIND_SERVICE, or set the sysctl "
        "net.ipv4.ip_unprivileged_port_start",
        (
            r"listen EACCES",
            r"\bbind(?:ing)?\b.*permission denied",
            r"permission denied.*\bbind\b",
            r"permission denied.*\bport (?:\d{1,3}|10[01]\d|102[0-3])\b",
        ),
    ),
    Row(
        "address in use",
        "another program has that address (`ss -lntup` names it); or it is the app's old "
        "generation: if the program connects to its port to see whether it is free, set "
        "checks_port = true; where gapless does not hand the address over, as with "
        "`interception = false`, remove that, or let the program take a socket of `listen` "
        "from LISTEN_FDS or {{fd}}, or set overlap = false",
        (
            r"EADDRINUSE",
            r"address (?:is )?already in use",
            r"\bport \d+ (?:was|is) already (?:in use|allocated)",
            r"connection in use: ",
            r"already listening on a port",
        ),
    ),
    Row(
        "no such user",
        "this host has no such user or group: create it (useradd --system NAME), or "
        "correct the keys `user` and `group`",
        (r"\bfind the (?:user|group) .*: there is none",),
    ),
    Row(
        "no such address",
        "no interface of this host has the address that the program binds: let it bind "
        "0.0.0.0, :: or 127.0.0.1",
        (r"EADDRNOTAVAIL", r"cannot assign requested address"),
    ),
    Row(
        "lock",
        "another process holds a lock on what the program stores, as a rule the app's own "
        "old generation. An app that holds state on disk is recycled: set "
        "overlap = false, and its old instances end before the new ones start",
        (
            r"lock DB directory",
            r"lock file .*postmaster\.pid.* already exists",
            r"another postmaster .*running in data directory",
            rf"{_CANNOT} (?:\w+ ){{0,3}}(?:lock|LCK|mutex)\b",
            rf"{_CANNOT} (?:acquire|obtain|get|take)\b.*\block",
            r"\block(?:ed)? (?:is |was )?(?:already |currently )?(?:held|taken|owned) by\b",
            r"\balready locked\b|\blocked by another\b|\block(?:ed)? already\b",
            r"database lock acquisition failure",
            r"\b(?:lock|lck)\b.*(?:resource temporarily unavailable|already held)",
            r"resource temporarily unavailable.*\block",
            r"BlockingIOError: \[Errno 11\]",
            r"found another \w+ (?:\w+ )?process|\bLockError\b",
            r"\block(?:[ _-]?file)? (?:already )?exists\b",
            rf"{_ANOTHER}.{{0,80}}(?:using|is running in|holds|holding|already booted)",
            r"being used by another process|already used by a different redis",
            r"varnishd is already running",
            r"database (?:is|may be) (?:locked|already in use)|SQLITE_BUSY",
        ),
    ),
    Row(
        "pid file",
        "the program keeps a pid file of its own, and does not start while the process in "
        "it lives, as that of the old generation does. Leave out the option for it "
        "(gunicorn --pid, `pid` of unicorn, `pidfile` of puma and celery), or let it "
        "have another name in each generation (sh -c 'exec bin/rails server --pid "
        "tmp/pids/$$.pid', PidFile run/${{GAPLESS_GENERATION}}.pid of Apache); where "
        "something reads one, set gapless's own key pid_file. Or set overlap = false",
        (
            r"already running on PID",
            r"a server is already running",
            r"pid[ _]?file.*\bexists?\b|\.pid already exists",
            r"hot deployment for hypnotoad",
            r"already running\b.*\bpid\b|\bpid\b.*\balready running",
            r"another \w+ (?:server )?is running, pid",
            r"process already running|RUNNING_PID",
            rf"{_ANOTHER}.{{0,40}}already running",
        ),
    ),
    Row(
        "missing module",
        "{what} is not there for the program: let each release install what it needs "
        '(build = ["npm", "ci"], uv sync, bundle install... in its [release.NAME]), and '
        "see that `directory` and the interpreter in `command` are the release's own",
        (
            r"cannot find (?:module|package) WHAT",
            r"no module named WHAT",
            r"cannot load such file -- WHAT",
            r"could not find (?:gem )?WHAT.{0,80}(?:gems?\b|bundle|sources|repositor)",
            r"bundler: command not found: WHAT",
            r"could not find or load main class WHAT",
            r"(?:NoClassDefFoundError|ClassNotFoundException):? WHAT",
            r"unable to access jarfile WHAT",
            r"can't locate WHAT in @INC",
            r"could not load file or assembly WHAT",
            r"module not found:? WHAT",
            r"failed opening required WHAT",
            r"error while loading shared libraries: (?P<what>[^\s:]{1,200})",
        ),
    ),
    Row(
        "interpreter",
        "{what} cannot be run here: see that `command` names an interpreter that is "
        "installed and in the PATH of the one who starts gapless (or its whole path), and "
        "that the program is built for this machine and its libraries",
        (
            r"exec(?:utable)? format error",
            r"bad interpreter|interpreter .*(?:not found|missing|does not exist)",
            r"env: WHAT: no such file or directory",
            r"(?:sh|bash|dash): (?:line )?(?:\d+: )?(?:exec: )?WHAT: "
            r"(?:command )?not found",
            r"(?P<what>GLIBC\w*_[\d.]+)\W+not found",
            r"cannot execute(?: binary file)?",
        ),
        "the program",
    ),
    Row(
        "no memory",
        "the program ran out of memory: give its runtime more (NODE_OPTIONS="
        "--max-old-space-size=MB, java -Xmx), run fewer instances, or raise the limit of "
        "its unit (MemoryMax=); two generations need memory for both while they overlap",
        (
            r"javascript heap out of memory",
            r"OutOfMemoryError",
            r"\bMemoryError\b",
            r"out of memory",
            r"cannot allocate memory|ENOMEM",
            r"std::bad_alloc|failed to allocate memory",
        ),
    ),
    Row(
        "no space",
        "a disk is full, or a quota is used up: `df -h` and `df -i` name it; `keep` in "
        "[release.NAME] and in the table `log` says how much gapless leaves there",
        (r"ENOSPC|no space left on device", r"EDQUOT|disk quota exceeded"),
    ),
    Row(
        "open files",
        "the program may not open more files or connections: limits = {{ open_files = "
        "65536 }} in its table, where the one who starts gapless is allowed as many "
        "(ulimit -Hn, or LimitNOFILE= in its unit)",
        (r"EMFILE|ENFILE", r"too many open files"),
    ),
    Row(
        "permission",
        "the user of the app (the key `user`; else the one who runs gapless) may not use "
        "{what}: change its owner or mode, or `user`",
        (
            r"EACCES: permission denied, \w+ WHAT",
            r"Errno 13\] permission denied: WHAT",
            r"open\(\) \"(?P<what>[^\"]{1,200})\" failed \(13:",
            r"(?:EACCES|Errno 13\b|permission denied)",
        ),
        "what its last lines name",
    ),
    Row(
        "background",
        "a program that ends without an error before it is ready has finished, or has "
        "gone into the background: keep it in the foreground (nginx -g 'daemon off;', "
        "gunicorn without --daemon, unicorn and puma without -D, redis-server --daemonize "
        "no); of a job that is to end: restart = {{ automatic = false }}",
        (
            r"daemoni[sz](?:ed|ing)\b(?!\.\w)",
            r"running in (?:the )?background|forked into background",
            r"exited with code 0\b",
        ),
    ),
    Row(
        "port asked for",
        "if the program connects to its port to see whether it is free, the old generation "
        "answers, and it gives up or takes another port: set checks_port = true, or let "
        "it not ask (robyn: app.start(_check_port=False)); else it needs more time: "
        "ready = {{ timeout_s = 120 }}",
        (
            r"already running on port \d+",
            r"port \d+ is in use",
            r"did not listen on \S*:\d+ within",
        ),
    ),
    Row(
        "killed",
        "if nobody sent SIGKILL, the kernel did, as memory ran out: `journalctl -k -g "
        "oom` tells; run fewer instances, or give the program or its unit more memory",
        (r"was killed by SIGKILL",),
    ),
)


_ORDINARY = re.compile(
    r"\b(?:INFO|DEBUG|TRACE)\b|\"level\":\s*\"(?:info|debug)\"|"
    r"\b(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) \S+ HTTP/"
)
"""A line that tells of no failure: of a log with levels, or of a request."""


HELD = (
    "stop that program, or give the app another port by its own variable or option, as in "
    "environment = { PORT = 3001 }"
)
_IS_HELD = re.compile(r"the port is held by |another program holds the port")
"""Why gapless itself could not bind: who holds the port is known."""
ANOTHER_APP = (
    "an address has one app, unless both say that they share it, by the same word, as in "
    'share_ports = "web" (PM2: cluster mode of both), and a reload has made that known '
    "for the app that has it. Or let one declaration run all instances, as in "
    "`instances = 4`, or give this app a port of its own"
)


def hint(lines: Iterable[str], reason: str) -> str:
    """Return what to do about a failure, by the last lines and how the program ended.

    Empty if the table knows nothing of it.
    """
    if OF_ANOTHER in reason:
        return ANOTHER_APP
    if _IS_HELD.search(reason):
        return HELD
    telling = [each for each in lines if not _ORDINARY.search(each[:LONGEST_LINE])]
    for line in [reason, *telling][::-1]:
        if found := _hint_of(line[:LONGEST_LINE]):
            return found
    return ""


def _hint_of(line: str) -> str:
    for row in TABLE:
        for pattern in _compiled(row.patterns):
            if found := pattern.search(line):
                what = found.groupdict().get("what")
                return row.hint.format(what=what or row.unnamed)
    return ""


@functools.cache
def _compiled(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """Return patterns, made at the first failure: a supervisor that starts needs none."""
    return tuple(
        re.compile(each.replace("WHAT", _WHAT), re.IGNORECASE) for each in patterns
    )
