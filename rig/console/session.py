r"""A fleet to try things on by hand, under load that is counted: run by `make rig`.

    make rig
    make rig RIG="--kind python --balancer haproxy --etcd 3 --hosts 6"
    printf 'upload 2\nwait\nload\n' | make rig

It prints where everything is, then takes commands; `help` lists them.  It ends with quit,
Ctrl-C, the end of its input or a closed terminal, and leaves nothing behind.  Exit code 1:
requests were lost.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from rig.console.commands import Commands
from rig.fleets.balancer import run_balancer
from rig.fleets.fleet import Fleet
from rig.hosts.host import GAPLESS
from rig.load import engine
from rig.load.process import run_load
from rig.sigterm import clean_up_at_sigterm

TRAFFICS = (
    engine.Traffic(kind="new", concurrency=2, pause_s=0.02),
    engine.Traffic(kind="kept", concurrency=2, keep_alive=True, pause_s=0.02),
)
POST = replace(engine.POST, concurrency=1, body_bytes=10_000, pause_s=0.02)
KINDS = ("node", "python", "article", "article-post")
TICK_S = 1.0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(
        prog="make rig",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    found.add_argument(
        "--hosts", type=int, default=4, choices=range(1, 17), metavar="N"
    )
    found.add_argument("--kind", default="node", choices=KINDS, help="which app")
    found.add_argument("--balancer", default="nginx", choices=["nginx", "haproxy"])
    found.add_argument("--etcd", type=int, default=0, choices=[0, 1, 2, 3])
    found.add_argument(
        "--policy", default="", metavar="TOML", help="into [rollout]: 'slots = 2'"
    )
    found.add_argument(
        "--clock",
        action="append",
        default=[],
        metavar="HOST=SECONDS",
        help="let its clock be off",
    )
    found.add_argument(
        "--small-disk",
        action="append",
        default=[],
        metavar="HOST=MB",
        help="GAPLESS_HOME on a disk that `fill` fills",
    )
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the rig in a session of its own, so that Ctrl-C reaches this process alone."""
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["--inside"]:
        return run(parser().parse_args(words[1:]))
    parser().parse_args(words)
    argv = [sys.executable, "-m", "rig.console.session", "--inside", *words]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True) as rig:
        assert rig.stdin is not None
        pidfd = os.pidfd_open(rig.pid)
        try:
            with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
                forward_input(rig.stdin.fileno(), pidfd)
        finally:
            os.close(pidfd)
            rig.stdin.close()
        while True:
            with contextlib.suppress(KeyboardInterrupt):  # it is cleaning up
                return rig.wait()


def forward_input(pipe: int, pidfd: int) -> None:
    """Copy standard input to a pipe until it ends, or the process of *pidfd* does."""
    while True:
        readable, _, _ = select.select([0, pidfd], [], [])
        if pidfd in readable:
            return
        typed = os.read(0, 65536)
        if not typed:
            return
        os.write(pipe, typed)


def run(options: argparse.Namespace) -> int:
    """Build the fleet, and run commands until the end of the input."""
    with contextlib.ExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="rig-"))
        )
        print(
            f"{options.hosts} hosts, {options.kind}, {options.balancer}; one moment",
            flush=True,
        )
        fleet = Fleet(
            directory,
            count=options.hosts,
            kind=options.kind,
            policy=options.policy,
            etcd=options.etcd,
        )
        stack.callback(fleet.close)
        set_up(fleet, options)
        fleet.start("1")
        port = stack.enter_context(run_balancer(fleet, options.balancer))
        ledger = directory / "load.jsonl"
        traffics = TRAFFICS if options.kind == "article" else (*TRAFFICS, POST)
        load = stack.enter_context(
            run_load(port, *traffics, seconds=engine.MOST_SECONDS, ledger=ledger)
        )
        print_places(fleet, port, ledger)
        read_commands(Commands(fleet, load, ledger))
        print("cleaning up", flush=True)
        report = load.stop()
        print(f"{report.requests} requests, {report.lost} lost", flush=True)
    return 1 if report.lost else 0


def set_up(fleet: Fleet, options: argparse.Namespace) -> None:
    """Set the clocks and disks that the options name."""
    by_name = {member.name: member for member in fleet.members}
    for name, _, value in (each.partition("=") for each in options.clock):
        by_name[name].setup.set_clock(float(value))
    for name, _, value in (each.partition("=") for each in options.small_disk):
        by_name[name].setup.small_disk(int(value))


def print_places(fleet: Fleet, port: int, ledger: Path) -> None:
    """Print where everything is."""
    publisher = fleet.publisher
    enter = f"cd {publisher.directory} && export GAPLESS_HOME={publisher.home}"
    print(f"\nthe app          http://127.0.0.1:{port}/   (the load goes there)")
    for member in fleet.members:
        print(f"{member.name:<17}http://{member.address}:{member.port}/")
    print(
        f"the directory    {fleet.base}\n"
        f"the inbox        {fleet.base}/src   (put example.tar.gz there, or `upload 2`)\n"
        f"the ledger       {ledger}   (a line of JSON for each request)\n"
        "in another terminal:\n"
        f"  {enter}\n"
        f"  {GAPLESS} rollout status --watch\n"
        "`help` lists the commands\n"
    )


def read_commands(commands: Commands) -> None:
    """Run the lines of standard input; in between, print what has changed."""
    typed = b""
    print("rig> ", end="", flush=True)
    next_tick = time.monotonic()
    while True:
        readable, _, _ = select.select([0], [], [], TICK_S)
        if readable:
            piece = os.read(0, 65536)
            if not piece:
                return
            *lines, typed = (typed + piece).split(b"\n")
            for line in lines:
                if not commands.run(line.decode(errors="replace")):
                    return
                print("rig> ", end="", flush=True)
        if time.monotonic() >= next_tick:
            next_tick = time.monotonic() + TICK_S
            if changes := commands.changes():
                print(f"\r{changes}\nrig> ", end="", flush=True)


if __name__ == "__main__":
    clean_up_at_sigterm()
    sys.exit(main())
