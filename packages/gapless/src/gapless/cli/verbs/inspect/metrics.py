"""Answer Prometheus about this host: apps, releases, rollouts, and gapless itself.

Runs in the foreground, for systemd or as an app under gapless.  Needs `pip install
'gapless[metrics]'`.  --once prints the metrics once, for a textfile of node_exporter.  With
--config it also tells of the rollouts of that file.  --alerts and --dashboard print what
is shipped for Prometheus and Grafana.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from signal import SIGINT, SIGTERM
from typing import Any

from gapless.base import wakeup
from gapless.base.errors import DONE, NotFoundError
from gapless.cli import configuration, output
from gapless.client import Client

INSTALL = "pip install 'gapless[metrics]'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `metrics`."""
    parser.add_argument(
        "--listen",
        default="9469",
        metavar="[HOST:]PORT",
        help="answer scrapes here (default: %(default)s, on 127.0.0.1); `*:PORT` is "
        "every address",
    )
    parser.add_argument(
        "-c",
        "--config",
        default="",
        metavar="FILE",
        help="the gapless.toml with [rollout.NAME]: tell of its rollouts, too",
    )
    once = parser.add_mutually_exclusive_group()
    once.add_argument(
        "--once", action="store_true", help="print the metrics as text, and end"
    )
    once.add_argument(
        "--alerts", action="store_true", help="print alert rules for Prometheus"
    )
    once.add_argument(
        "--dashboard", action="store_true", help="print a dashboard for Grafana"
    )


def run(args: argparse.Namespace) -> int:
    """Answer scrapes until a signal."""
    if args.alerts or args.dashboard:
        return _print_shipped("alerts.yml" if args.alerts else "dashboard.json")
    if importlib.util.find_spec("prometheus_client") is None:
        raise NotFoundError(
            "metrics need a package that is not installed: prometheus-client",
            hint=f"{INSTALL}, for {sys.executable}",
        )
    from gapless.metrics import exposition  # noqa: PLC0415 - an optional extra
    from gapless.metrics.endpoint import Endpoint, listen  # noqa: PLC0415 - for this verb
    from gapless.metrics.scrape import ANSWER_S, Scrapes  # noqa: PLC0415 - the same

    client = Client(starts=False)
    fleets = _fleets(args.config)
    scrapes = Scrapes(lambda: client.ask("list", timeout_s=ANSWER_S), fleets)
    if args.once:
        fleets.read()
        sys.stdout.buffer.write(exposition.text(scrapes.samples()))
        return DONE
    ends = wakeup.on((SIGTERM, SIGINT))
    endpoint = Endpoint(
        listen(args.listen),
        lambda accept: exposition.answer(scrapes.samples(), accept),
    )
    fleets.start()
    output.print_line(f"metrics on http://{endpoint.address}/metrics")
    endpoint.run(ends)
    return DONE


def _fleets(config: str) -> Any:
    """Return the readers of the fleets of a file; of none without one."""
    from gapless.metrics.fleets import FleetReaders  # noqa: PLC0415 - for this verb

    declared = configuration.fleets(config) if config else {}
    if config and not declared:
        raise NotFoundError(
            f"{config} has no [rollout.NAME]",
            hint="without --config the metrics are those of this host alone",
        )
    return FleetReaders(declared, output.print_error)


def _print_shipped(name: str) -> int:
    from importlib import resources  # noqa: PLC0415 - for few

    shipped = resources.files("gapless.metrics.shipped")
    print(shipped.joinpath(name).read_text(encoding="utf-8"), end="")
    return DONE
