"""The page for several hosts: a release server and two hosts, each with its network."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from rig.background import BackgroundProcess
from rig.fixtures.howto import HowTo, python_shop
from rig.hosts.host import Host, temporary_host
from rig.hosts.network import Network
from rig.load import engine
from rig.load.process import run_load
from rig.wait import until

PORT = 8000
AGENT = "    gapless agent -c {} --host app1\n"


@pytest.mark.soak
def test_several_hosts(host: Host) -> None:
    """The clients of both hosts see both releases, and lose nothing."""
    page = HowTo(host, "several-hosts")
    page.lay_out()
    file = page.path("/srv/shop/gapless.toml")
    assert AGENT.format(file) in page.text
    page.path("/srv/shop/src").mkdir()
    page.write("/home/ada/shop", {"app.py": python_shop("1", host="")})
    with contextlib.ExitStack() as stack:
        network = Network(2)
        stack.callback(network.close)
        if not network.is_real:
            pytest.skip("needs network namespaces: root")

        def start(number: int) -> Callable[[], bool]:
            app = stack.enter_context(temporary_host(f"gapless-app{number}-"))
            app.command_prefix = network.command_prefix(number)
            agent = BackgroundProcess(app.directory / "agent.log")
            words = ("agent", "-c", file, "--host", f"app{number + 1}")
            app.start_in_background(agent, *words)
            stack.callback(agent.terminate)
            return lambda: [x["status"] for x in app.json("list")["apps"]] == ["online"]

        source = page.path("/home/ada/shop")
        host.ok("push", source, "--app", "shop", "--to", file.parent)
        host.ok("watch", "--once", "-c", file)
        for online in [start(0), start(1)]:
            until(online, "the agent has started the app", 60)
        loads = [
            stack.enter_context(
                run_load(PORT, engine.NEW, host=network.address(number), seconds=600)
            )
            for number in range(2)
        ]
        for load in loads:
            load.wait_for_version("1")
        page.write("/home/ada/shop", {"app.py": python_shop("2", host="")})
        page.follow()
        for load in loads:
            load.wait_for_version("2")
        assert [load.stop().lost for load in loads] == [0, 0]
