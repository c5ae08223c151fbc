"""A fleet of two hosts that mount the release server's directory by NFS, as it comes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

import pytest

from rig import wait
from rig.vm.kernels import KERNELS, Kernel
from rig.vm.load import MachineLoad
from rig.vm.machine import Command, Machine
from rig.vm.machines import NewMachine
from rig.vm.tree import CHECKOUT, GAPLESS

BASE = "/mnt/dfs"
FILE = "/etc/gapless.toml"
CONFIGURATION = f"""
[release.example]
base = "{BASE}"
build = []

[rollout.example]
slots = 1

[app.example]
command = ["node", "app.js"]
directory = "{BASE}/dist/example"
environment = {{ PORT = "8080" }}
ready = "listening"
min_healthy_s = 1
"""
PACK = """
cd $(mktemp -d) && (echo "process.env.RELEASE = '$1';"; cat {app}) > app.js &&
tar -czf /mnt/dfs/src/example.tar.gz.part app.js &&
mv /mnt/dfs/src/example.tar.gz.part /mnt/dfs/src/example.tar.gz
""".format(app=f"/{CHECKOUT}/rig/apps/app.js")
"""Upload a release on the server, as a user there would."""
ROLLOUT_S = 400.0
OUTAGE_S = 60
RESTORE = """
cd /srv/dfs
for each in src dist; do
    cp -a $each $each.copy
    mv $each $each.old
    mv $each.copy $each
    rm -rf $each.old
done
"""
"""Put back a copy of everything, as from a backup: what clients hold of it is stale."""
LOOK = "cat /proc/$(pgrep -xo node)/cwd/app.js 2>&1"
"""Read from the directory in which the app runs."""
EXPORT = "rw,sync,no_subtree_check,no_root_squash"


class NfsFleet:
    """The server, and two hosts that have a cable to it each."""

    def __init__(self, new_machine: NewMachine, kernel: Kernel, directory: str) -> None:
        def cable(number: int, end: str) -> str:
            path = f"{directory}/{number}"
            return f"stream,server={end},addr.type=unix,addr.path={path}"

        self.server = new_machine(kernel, cable(1, "on"), cable(2, "on"))
        self.hosts = [new_machine(kernel, cable(n, "off")) for n in (1, 2)]
        self.agents: list[Command] = []

    def start(self) -> None:
        """Start the machines, the mounts, and gapless on each of them."""
        self.server.start()
        for number in (1, 2):
            self._address(self.server, number - 1, f"10.9.{number}.1")
        self.server.ok(
            *("sh", "-ec"),
            f"""
            mkdir -p /srv/dfs/src /srv/dfs/dist {BASE}
            mount --bind /srv/dfs {BASE}
            echo '/srv/dfs 10.9.0.0/16({EXPORT})' > /etc/exports
            systemctl unmask nfs-server rpcbind rpcbind.socket rpc-statd
            systemctl start nfs-server
            """,
        )
        for number, host in enumerate(self.hosts, 1):
            host.start()
            self._address(host, 0, f"10.9.{number}.2")
            host.ok("mkdir", "-p", BASE)
            host.ok("mount", "-t", "nfs", f"10.9.{number}.1:/srv/dfs", BASE)
        for machine in (self.server, *self.hosts):
            machine.ok("sh", "-c", f"cat > {FILE} <<'E'{CONFIGURATION}E")
        options = ("-c", FILE)
        self.agents.append(self.server.begin(GAPLESS, "watch", *options))
        for number, host in enumerate(self.hosts, 1):
            name = ("--host", f"app{number}")
            self.agents.append(host.begin(GAPLESS, "agent", *options, *name))

    @staticmethod
    def _address(machine: Machine, number: int, address: str) -> None:
        machine.ok("ip", "address", "add", f"{address}/24", "dev", f"eth{number}")
        machine.ok("ip", "link", "set", f"eth{number}", "up")

    def upload(self, version: str) -> None:
        """Put a release into the inbox."""
        self.server.ok("bash", "-ec", PACK, "pack", version)

    def wait_for(self, version: str) -> None:
        """Wait until both hosts serve a release, and its rollout is over."""
        begins = f"release {version} "
        for host in self.hosts:
            serves = partial(_serves, host, begins)
            wait.until(serves, f"{begins}on each host", ROLLOUT_S)
        wait.until(lambda: self.state() == "done", f"{version} done", ROLLOUT_S)

    def state(self) -> str:
        """Return how the newest rollout is."""
        done = self.server.run(
            *(GAPLESS, "rollout", "status", "example", "--json"),
            *("-c", FILE),
        )
        found: str = json.loads(done.output)["state"]
        return found

    def said(self) -> str:
        """Return what agents and publisher wrote."""
        return "\n".join(agent.output[-3000:] for agent in self.agents)


def answer(host: Machine) -> str:
    """Return what the app of a host answers; empty if nothing does."""
    return host.run("curl", "-s", "-m", "20", "http://127.0.0.1:8080/").output


def _serves(host: Machine, begins: str) -> bool:
    return answer(host).startswith(begins)


@pytest.fixture(params=KERNELS, ids=lambda kernel: kernel.name)
def fleet(
    new_machine: NewMachine,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[NfsFleet]:
    """Return a fleet that serves release 1."""
    cables = str(tmp_path_factory.mktemp("cables"))
    found = NfsFleet(new_machine, request.param, cables)
    found.start()
    found.upload("1")
    try:
        found.wait_for("1")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{found.said()}") from None
    yield found
    for machine in (found.server, *found.hosts):
        machine.end()


def test_releases_roll_out_whatever_the_server_does(fleet: NfsFleet) -> None:
    """Caches are stale, the server is away, its files are others: no request is lost."""
    loads = [MachineLoad(host, "host") for host in fleet.hosts]
    for load in loads:
        load.wait_for_answers(120)
    fleet.upload("2")
    fleet.wait_for("2")
    fleet.server.ok(
        *("sh", "-ec"),
        f"systemctl stop nfs-server; sleep {OUTAGE_S}; systemctl start nfs-server",
    )
    fleet.upload("3")
    fleet.wait_for("3")
    fleet.server.ok("sh", "-ec", RESTORE)
    stale = [host.run("sh", "-c", LOOK) for host in fleet.hosts]
    assert all("Stale file handle" in each.output for each in stale), stale
    fleet.upload("4")
    fleet.wait_for("4")
    for load in loads:
        report = load.stop()
        assert report["lost"] == 0, report
        assert set(report["versions"]) == {"1", "2", "3", "4"}
