"""Show or control a rollout: status, hold, resume, abort, history, forget.

`status --watch` prints each step until the rollout has ended.  `history APP NUMBER` shows
one rollout with its hosts.  After `hold` no further host switches; `resume` goes on, and
lets hosts that failed try again; `abort` takes hosts that have changed back to the release
of before.  `forget` removes a host that will not come back.
"""

from __future__ import annotations

import argparse

from gapless.agent.open_store import open_store
from gapless.base.errors import DONE, MisuseError, NotFoundError
from gapless.cli import arguments, configuration, output
from gapless.cli.display import rollout_history, rollouts
from gapless.cli.fleet import rollout_actions, rollout_run
from gapless.cli.progress import choice
from gapless.config.toml.fleets import Fleet
from gapless.rollout.model import Rollout
from gapless.rollout.store import FleetStore

_OTHER_WORDS = {"pause": "hold", "undo": "abort"}
"""Words of kubectl for the same."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `rollout`."""
    parser.add_argument(
        "what",
        type=lambda word: _OTHER_WORDS.get(word, word),
        choices=["status", *rollout_actions.ACTIONS, "history", "forget"],
        help="`pause` is hold, `undo` is abort",
    )
    parser.add_argument(
        "app",
        nargs="?",
        default="",
        metavar="APP",
        help="the app of the fleet; default: the only fleet of the configuration",
    )
    parser.add_argument(
        "which",
        nargs="?",
        default="",
        metavar="HOST|NUMBER",
        help="forget: the host; history: the number of one rollout",
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="status: print each step until the rollout has ended",
    )
    parser.add_argument(
        "--reason",
        default="",
        help="hold, resume, abort: the reason, which `status` shows; "
        "default: 'hold by hand' and so on",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=arguments.ROLLOUT_TIMEOUT_S,
        help=argparse.SUPPRESS,
    )
    arguments.add_config(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Show or control the rollout of a fleet."""
    fleet = configuration.fleet(args.config, args.app)
    store = open_store(fleet, output.print_error)
    if args.what == "history" and args.which:
        return _one_of_history(store, args.which, fleet, as_json=args.json)
    if args.what == "history":
        return _history(store, as_json=args.json)
    if args.what == "forget":
        return _forget(store, args.which)
    if args.what in rollout_actions.ACTIONS:
        return _apply(store, args)
    return _status(fleet, store, args)


def _status(fleet: Fleet, store: FleetStore, args: argparse.Namespace) -> int:
    rollout, _ = store.rollout()
    if rollout is not None and args.watch:
        return _watch(store, rollout, args)
    if args.json:
        output.print_json(rollouts.status_json(fleet, store))
        return DONE
    if rollout is None:
        print(f"{store.app}: nothing was rolled out yet; `gapless publish TARBALL`")
        rollouts.print_hosts(store.hosts.all())
        return DONE
    rollouts.print_rollout(rollout, store.hosts.all())
    if stranger := rollouts.stranger(fleet, rollout):
        print(
            f"  {fleet.release.link} names {stranger}, which no rollout brought: no host "
            f"of the fleet takes it\n  `gapless rollback {store.app} {stranger}` rolls it "
            "out"
        )
    return DONE


def _watch(store: FleetStore, rollout: Rollout, args: argparse.Namespace) -> int:
    if args.json:
        changed = rollouts.print_host_json
        ended = rollout_run.follow(store, rollout.number, args.timeout, changed)
    else:
        rollouts.print_rollout(rollout, store.hosts.all())
        with choice.shown([]) as shown:
            ended = rollout_run.follow(store, rollout.number, args.timeout, shown.host)
    rollouts.print_end(ended, as_json=args.json, reports=store.hosts.all())
    return rollouts.exit_code(ended)


def _apply(store: FleetStore, args: argparse.Namespace) -> int:
    after = rollout_actions.apply(store, args.what, reason=args.reason)
    if args.json:
        output.print_json(rollouts.rollout_json(after))
    else:
        print(
            f"{store.app}: rollout {after.number} {after.state.value}: {after.reason}"
        )
    return DONE


def _forget(store: FleetStore, host: str) -> int:
    if not host:
        hint = f"gapless rollout forget {store.app} HOST"
        raise MisuseError("which host?", hint=hint)
    if not store.forget(host):
        known = ", ".join(sorted(store.hosts.all())) or "none"
        raise NotFoundError(
            f"{store.app}: there is no host {host}", hint=f"known: {known}"
        )
    print(f"{store.app}: {host} is forgotten; it comes back if its agent runs")
    return DONE


def _history(store: FleetStore, *, as_json: bool) -> int:
    history = store.history.read()
    if as_json:
        output.print_json(history)
    elif history:
        rollout_history.print_all(history)
    else:
        print(f"{store.app}: no rollout has ended yet")
    return DONE


def _one_of_history(
    store: FleetStore, number: str, fleet: Fleet, *, as_json: bool
) -> int:
    found = next((e for e in store.history.read() if str(e["number"]) == number), None)
    if found is None:
        now, _ = store.rollout()
        if now is not None and str(now.number) == number:
            raise NotFoundError(
                f"{store.app}: rollout {number} has not ended: it is {now.state.value}",
                hint=f"`gapless rollout status {store.app}` shows it; the reports of its "
                f"hosts are in {fleet.release.reports}/{now.release}",
            )
        raise NotFoundError(
            f"{store.app}: no rollout {number} has ended",
            hint=f"`gapless rollout history {store.app}` lists those that have",
        )
    reports = f"{fleet.release.reports}/{found['release']}"
    if as_json:
        output.print_json(found | {"reports": reports})
    else:
        rollout_history.print_one(store.app, found, reports)
    return DONE
