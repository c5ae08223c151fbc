"""Fixtures of all tests, and checks after each test and after the session."""

from __future__ import annotations

import gc
import os
import signal
import uuid
from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from rig import wait
from rig.fixtures import long_tests, short_form
from rig.hosts import commands, processes
from rig.hosts.host import Host, temporary_host
from rig.programs import python

MARK = "RIG_SESSION"  # in the environment of every process that a session starts


def pytest_configure() -> None:
    """Let SIGINT end what the tests start, also where a shell ignores it (`make &`)."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # The machine is slow, not the code: time decides no test.
    settings.register_profile(
        "gapless", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("gapless")
    gc.disable()  # until all tests are made: next to nothing of that is garbage


def pytest_collection_finish() -> None:
    """Look for garbage again, but not among the thousands of tests."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(
    collector: pytest.Collector, obj: object
) -> list[pytest.Item] | None:
    """Make no test that `-m "not soak"` leaves out."""
    marks = getattr(obj, "pytestmark", None)
    if _is_short(collector.config) and marks and short_form.is_long(marks):
        return []
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make no parameter that `-m "not soak"` leaves out."""
    if _is_short(metafunc.config):
        short_form.shorten(metafunc.definition.iter_markers("parametrize"))


def _is_short(config: pytest.Config) -> bool:
    return bool(config.getoption("markexpr") == short_form.SHORT)


@pytest.hookimpl(trylast=True)  # after they were put into a random order
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let long tests begin early."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    items[:] = long_tests.spread(items, _module_of, processes)


def _module_of(item: pytest.Item) -> str:
    return f"{item.path.parent.name}/{item.path.stem}"


@pytest.fixture
def host() -> Iterator[Host]:
    """Return a host for one test; fail if a process of it is left afterwards."""
    with temporary_host() as found:
        yield found


@pytest.fixture(scope="session", autouse=True)
def nothing_outlives_the_session(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """Keep tests away from the user's own GAPLESS_HOME; fail if a process is left."""
    base = tmp_path_factory.getbasetemp()
    mark = f"{MARK}={uuid.uuid4()}"
    marks = (mark.encode(), f"GAPLESS_HOME={base}/".encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(*mark.split("=", 1))
        patch.setenv("GAPLESS_HOME", str(base / "home"))
        patch.setenv("PATH", python.search_path(os.environ["PATH"]))
        yield
        commands.end()
        forkserver._forkserver._stop()  # type: ignore[attr-defined]  # it has no public name, and starts the loads
    try:
        wait.until(lambda: not _left(marks), "every process of the tests ended", 5)
    except AssertionError:
        raise AssertionError(f"left behind by a test: {_left(marks)}") from None


def _left(marks: tuple[bytes, ...]) -> dict[int, str]:
    """Return every other living process with one of the marks in its environment."""
    tracker = resource_tracker._resource_tracker._pid  # type: ignore[attr-defined]  # it has no public name, and ends with us
    return {
        pid: process.command
        for pid, process in processes.living().items()
        if pid != tracker and any(mark in process.environment for mark in marks)
    }


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Fail a skipped test where CI=true, and add the host's logs to a failure."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]  # pluggy's result
    _refuse_skip(report, item.nodeid)
    found = getattr(item, "funcargs", {}).get("host")
    if report.failed and isinstance(found, Host):
        report.sections += [(str(p), _end_of(p)) for p in found.home.glob("logs/*")]


def _end_of(path: Path) -> str:
    return path.read_text(errors="replace")[-20_000:]


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """Fail a file that is skipped as a whole, where CI=true."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]  # pluggy's result
    _refuse_skip(report, collector.nodeid)


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport, name: str) -> None:
    expected_to_fail = hasattr(report, "wasxfail")
    if report.skipped and not expected_to_fail and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"{name} was skipped, and nothing may be: {report.longrepr}"
