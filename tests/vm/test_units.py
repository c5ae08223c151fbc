"""Units of systemd for real: installed, enabled, restarted, stopped, and rebooted."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from rig import wait
from rig.vm import settings
from rig.vm.load import MachineLoad
from rig.vm.machine import BOOT_S, Machine
from rig.vm.tree import GAPLESS
from rig.vm.unit import BEGINS, UNITS, Unit, drop_in

DRAIN_S = 5
SHORT = f"stop = {{ drain_timeout_s = {DRAIN_S} }}\n"
EATER = """
[app.eater]
command = ["python3", "-c", "x = [b'%d' % (n % 9) * 10**7 for n in range(10**4)]"]
restart = { automatic = false }
"""
NO_DUMPS = """
for name in tcp_diag inet_diag; do echo "install $name /bin/false"; done > $CONF
for name in mptcp_diag raw_diag udp_diag tcp_diag inet_diag; do
    ! grep -q "^$name " /proc/modules || rmmod $name
done
"""
CONF = "/etc/modprobe.d/rig.conf"


@pytest.fixture(params=UNITS)
def any_unit(machine: Machine, request: pytest.FixtureRequest) -> Iterator[Unit]:
    """Install a unit of each kind; take it away again."""
    found = UNITS[request.param](machine)
    yield found
    found.remove()


@pytest.fixture(params=["root", settings.USER])
def unit(machine: Machine, request: pytest.FixtureRequest) -> Iterator[Unit]:
    """Install a unit of the machine; take it away again."""
    found = UNITS[request.param](machine)
    yield found
    found.remove()


def test_it_is_restarted_stopped_and_rebooted(any_unit: Unit) -> None:
    """The apps serve through a restart and a crash; a boot brings them and logs back."""
    unit, machine = any_unit, any_unit.machine
    unit.start()
    pids = unit.listed()["pids"]
    load = MachineLoad(machine, unit.user)
    load.wait_for_answers(60)
    unit.systemctl("restart")
    unit.systemctl("kill", "--kill-who=main", "--signal=KILL")
    assert unit.listed()["pids"] == pids
    unit.declare("2")
    unit.gapless("reload", unit.file)
    report = load.stop()
    assert report["lost"] == 0, report
    assert report["versions"].keys() == {"1", "2"}
    assert unit.gapless("logs", "web", "-n", "50").count(BEGINS) == 2

    machine.reboot()
    unit.wait_until_it_serves()
    assert "release 2" in unit.answer()
    assert unit.gapless("logs", "web", "-n", "50").count(BEGINS) == 4

    unit.systemctl("stop")
    assert not unit.answer()
    assert "gapless keeper" not in machine.ok("ps", "ax")


def test_one_that_hangs_is_started_anew(any_unit: Unit) -> None:
    """Systemd ends a supervisor that says nothing; a reload of the unit is a release."""
    unit, machine = any_unit, any_unit.machine
    unit.start()
    pids, before = unit.listed()["pids"], unit.shown("MainPID")
    assert unit.shown("StatusText") == "1 app: 1 online"
    load = MachineLoad(machine, unit.user)
    load.wait_for_answers(60)
    machine.ok("kill", "-STOP", before)
    unit.wait_for_other_than(before)
    wait.until(lambda: unit.shown("ActiveState") == "active", "its start", BOOT_S)
    assert unit.listed()["pids"] == pids
    unit.systemctl("reload")
    assert unit.listed()["generation"] == 2
    for _ in range(7):  # more often than systemd's own limit of starts
        before = unit.shown("MainPID")
        unit.systemctl("kill", "--kill-who=main", "--signal=KILL")
        unit.wait_for_other_than(before)
    wait.until(lambda: unit.shown("ActiveState") == "active", "the last", BOOT_S)
    assert load.stop()["lost"] == 0


def test_what_was_released_is_there_after_a_loss_of_power(unit: Unit) -> None:
    """The power goes right after the command has returned."""
    unit.start()
    unit.declare("2")
    unit.gapless("reload", unit.file)
    unit.machine.reset()
    unit.wait_until_it_serves()
    assert "release 2" in unit.answer()


def test_an_app_that_takes_all_memory_takes_no_other_with_it(unit: Unit) -> None:
    """The limit is that of the unit (MemoryMax=), and of all its apps together."""
    with drop_in(unit, "MemoryMax=400M\\nMemorySwapMax=0"):
        unit.declare("1", EATER)
        unit.start()
        pids = unit.listed()["pids"]
        load = MachineLoad(unit.machine, unit.user)
        load.wait_for_answers(60)

        def was_killed() -> bool:
            return bool(unit.listed("eater")["exit_code"] == -signal.SIGKILL)

        wait.until(was_killed, "it to be killed", BOOT_S)
        assert unit.listed()["pids"] == pids
        assert load.stop()["lost"] == 0
        unit.systemctl("stop")


@pytest.mark.parametrize("how", ["module", "unit"])
def test_releases_where_no_connection_is_seen(unit: Unit, how: str) -> None:
    """The kernel has no module of sock_diag, or the unit may not ask it."""
    machine = unit.machine
    families = "AF_UNIX AF_INET AF_INET6" + (" AF_NETLINK" if how == "module" else "")
    if how == "module":
        machine.ok("sh", "-ec", NO_DUMPS, environment={"CONF": CONF})
    try:
        with drop_in(unit, f"RestrictAddressFamilies={families}"):
            unit.declare("1", SHORT)
            unit.start()
            load = MachineLoad(machine, unit.user)
            load.wait_for_answers(60)
            unit.declare("2", SHORT)
            said = unit.gapless("reload", unit.file)
            unit.systemctl("restart")
            assert load.stop()["lost"] == 0
            unit.systemctl("stop")
    finally:
        machine.run("rm", "-f", CONF)
    assert "connections cannot be seen here (sock_diag: " in said, said
    assert "connections in flight are not known" in said, said


def test_the_doctor_says_that_no_connection_is_seen(machine: Machine) -> None:
    """Where the kernel has no module of sock_diag."""
    machine.ok("sh", "-ec", NO_DUMPS, environment={"CONF": CONF})
    try:
        done = machine.run(GAPLESS, "doctor")
    finally:
        machine.run("rm", "-f", CONF)
    assert done.code == 1
    assert "sock_diag" in done.output.partition("missing")[2]
