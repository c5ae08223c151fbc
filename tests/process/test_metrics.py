"""`gapless metrics` on a real host: scraped as an app, and by a real Prometheus."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rig.background import BackgroundProcess
from rig.hosts.host import GAPLESS, Host
from rig.wait import free_port, until

HERE = Path(__file__).parent
ACCEPT = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}


def scrape(port: int, accept: dict[str, str] = ACCEPT) -> str:
    """Return one scrape; every one has to be answered."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/metrics", headers=accept)
        response = connection.getresponse()
        assert response.status == 200
        return response.read().decode()
    finally:
        connection.close()


def value(text: str, name: str, **labels: str) -> float | None:
    """Return one value of a scrape; None if it is not there."""
    for line in text.splitlines():
        found = re.fullmatch(r"([a-z_]+)(?:\{(.*)\})? (\S+)", line)
        if found and found[1] == name:
            own = dict(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', found[2] or ""))
            if labels.items() <= own.items():
                return float(found[3])
    return None


def declare(host: Host, port: int, app_port: int, **apps: str) -> None:
    """Declare an app, and the metrics as another one."""
    text = (
        f'[app.metrics]\ncommand = ["{GAPLESS}", "metrics", "--listen", "{port}"]\n'
        "min_healthy_s = 0.2\n"
        "[app.shop]\n"
        f'command = ["python3", "-m", "http.server", "{app_port}", "--bind", '
        '"127.0.0.1"]\nmin_healthy_s = 0.2\n'
    )
    text += "".join(
        f"[app.{name}]\ncommand = {command}\nmin_healthy_s = 0\n"
        for name, command in apps.items()
    )
    host.configure(text)


def test_an_app_that_answers_scrapes_survives_its_own_release(host: Host) -> None:
    """No scrape fails, counters count, and a dead supervisor is a value."""
    port, app_port = free_port(), free_port()
    declare(host, port, app_port)
    host.ok("start", "gapless.toml")
    until(lambda: host.row("metrics")["addresses"], "the metrics to listen")
    text = scrape(port)
    assert text.endswith("# EOF\n")
    assert value(text, "gapless_up") == 1
    assert value(text, "gapless_app_instances", app="shop", phase="ready") == 1
    name = "gapless_app_operation_seconds_count"
    done = {"action": "reload", "outcome": "done"}
    ended = threading.Event()
    texts: list[str] = []
    faults: list[Exception] = []

    def scrape_on() -> None:
        while not ended.is_set():
            try:
                texts.append(scrape(port))
                ended.wait(0.05)
            except Exception as error:  # noqa: BLE001 - the test shows it
                faults.append(error)
                return

    thread = threading.Thread(target=scrape_on)
    thread.start()
    try:
        host.ok("reload", "metrics", "shop")
        until(
            lambda: value(texts[-1], name, app="shop", **done) == 1,
            "the reload to be counted",
        )
    finally:
        ended.set()
        thread.join()
    assert faults == []
    assert value(texts[0], name, app="shop", **done) == 0
    last = scrape(port)
    assert value(last, name, app="shop", **done) == 1
    assert value(last, "gapless_app_generation", app="metrics") == 2
    pid = host.json("list")["supervisor"]["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: value(scrape(port), "gapless_up") == 0, "the end to be told")
    host.ok("list")
    until(lambda: value(scrape(port), "gapless_up") == 1, "the next supervisor")
    assert value(scrape(port), name, app="shop", **done) == 1


# --- the real Prometheus ----------------------------------------------------------------


@contextmanager
def prometheus(host: Host, targets: list[int]) -> Iterator[str]:
    """Run Prometheus with the shipped rules; return its address."""
    port = free_port()
    rules = host.directory / "alerts.yml"
    rules.write_text(host.ok("metrics", "--alerts"))
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {
                "job_name": "gapless",
                "static_configs": [{"targets": [f"127.0.0.1:{p}" for p in targets]}],
            }
        ],
    }
    path = host.directory / "prometheus.yml"
    path.write_text(json.dumps(config))
    process = BackgroundProcess(host.directory / "prometheus.log")
    process.start(
        [
            *("prometheus", f"--config.file={path}"),
            f"--storage.tsdb.path={host.directory}/prometheus",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
    )
    try:
        yield f"http://127.0.0.1:{port}/api/v1"
    finally:
        process.terminate()


def ask(address: str, path: str, **query: str) -> Any:
    """Return what Prometheus answers; None before it does."""
    url = f"{address}/{path}?{urllib.parse.urlencode(query)}"
    try:
        with urllib.request.urlopen(url, timeout=20) as response:
            return json.load(response)["data"]
    except OSError:
        return None


@pytest.mark.soak
def test_prometheus_scrapes_and_its_alerts_fire(host: Host) -> None:
    """The dashboard's queries are understood, and an app that gave up is an alert."""
    port = free_port()
    declare(host, port, free_port(), broken='"false"')
    host.gapless("start", "gapless.toml")
    until(lambda: host.row("metrics")["addresses"], "the metrics to listen")
    with prometheus(host, [port]) as address:
        until(
            lambda: (ask(address, "query", query="gapless_up") or {}).get("result"),
            "a scrape",
            60,
        )
        dashboard = json.loads(host.ok("metrics", "--dashboard"))
        for query in queries(dashboard):
            assert ask(address, "query", query=query) is not None, query
        until(
            lambda: [
                each
                for each in (ask(address, "alerts") or {"alerts": []})["alerts"]
                if each["labels"]["alertname"] == "GaplessAppGaveUp"
                and each["labels"]["app"] == "broken"
                and each["state"] == "firing"
            ],
            "the alert",
            60,
        )
        kind = ask(address, "metadata", metric="gapless_app_restarts")
        assert kind["gapless_app_restarts"][0]["type"] == "counter"
        bad = ask(address, "query", query="scrape_samples_scraped == 0 or up == 0")
        assert bad["result"] == []


def queries(dashboard: dict[str, Any]) -> list[str]:
    """Return the queries of a dashboard, with its variables filled in."""
    found = [
        target["expr"]
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]
    found += [each["expr"] for each in dashboard["annotations"]["list"]]
    values = {"$host": ".*", "$app": ".*", "$__rate_interval": "1m", "$__range": "1h"}
    for name, text in values.items():
        found = [each.replace(name, text) for each in found]
    return found


@pytest.mark.soak
def test_promtool_finds_no_fault(host: Host) -> None:
    """Names by Prometheus's rules; rules that parse, and do what they say."""
    declare(host, free_port(), free_port())
    host.ok("start", "gapless.toml")
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=host.ok("metrics", "--once"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    (host.directory / "alerts.yml").write_text(host.ok("metrics", "--alerts"))
    cases = (HERE / "rules" / "alerts_test.yml").read_text()
    (host.directory / "alerts_test.yml").write_text(cases)
    for words in (
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
    ):
        done = subprocess.run(
            ["promtool", *words],
            cwd=host.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.soak
def test_a_supervisor_that_is_stopped_holds_up_no_scrape(host: Host) -> None:
    """Prometheus waits for 10 s; it is told before that nobody answers."""
    port = free_port()
    declare(host, port, free_port())
    host.ok("start", "gapless.toml")
    until(lambda: host.row("metrics")["addresses"], "the metrics to listen")
    pid = host.json("list")["supervisor"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        texts: list[str] = []
        threads = [
            threading.Thread(target=lambda: texts.append(scrape(port)))
            for _ in range(5)
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert 0.0 in [value(text, "gapless_up") for text in texts]
        assert value(scrape(port), "gapless_up") == 0
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: value(scrape(port), "gapless_up") == 1, "the supervisor")


@pytest.mark.soak
def test_a_scrape_of_a_hundred_apps_costs_little(host: Host) -> None:
    """The supervisor needs 1 % of a core at most, at one scrape in 15 s."""
    port = free_port()
    declare(host, port, free_port())
    host.ok("start", "gapless.toml")
    many = "".join(
        f'[app.app{n}]\ncommand = ["sleep", "600"]\nmin_healthy_s = 0\n'
        for n in range(100)
    )
    host.configure(many, "many.toml")
    host.ok("start", "many.toml")
    pid = host.json("list")["supervisor"]["pid"]
    rounds, used = 10, processor_time(pid)
    for _ in range(rounds):
        wait_for_another(port, uptime(port))
    each_s = (processor_time(pid) - used) / rounds
    print(f"a scrape of 102 apps: {1000 * each_s:.1f} ms of the supervisor")
    assert each_s < 0.15


def uptime(port: int) -> float | None:
    """Return what each list of the supervisor says anew."""
    return value(scrape(port), "gapless_app_uptime_seconds", app="app99")


def wait_for_another(port: int, before: float | None) -> None:
    """Wait until a scrape is answered from another list of the supervisor."""
    until(lambda: uptime(port) != before, "another list")


def processor_time(pid: int) -> float:
    """Return how much processor time a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
