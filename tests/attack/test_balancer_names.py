"""Names and addresses from outside in the configurations of nginx and HAProxy."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless.agent.address import host_addresses
from gapless.agent.membership import host_name
from gapless.balancer import haproxy, nginx
from gapless.balancer.model import Member, Pool
from gapless.base.errors import MisuseError
from gapless.base.names import is_address
from gapless.cli.verbs.machine import balancer
from gapless.config.toml.fleets import Fleet
from gapless.coordinator.directory import DirectoryCoordinator
from gapless.releases.model import ReleaseSpec
from gapless.rollout import records
from gapless.rollout.model import HostReport
from gapless.rollout.policy import Policy
from rig.programs import nginx as nginx_frame

GOOD = (Member(address="10.0.0.2:1", name="a"), Member(address="10.0.0.3:1", name="b"))
WRITERS = (nginx.configuration, haproxy.configuration)
INJECTED = (
    *("x\n    server evil:1;", "x; } http {", "x # y", "x\r", "a\u2028b", "a\x85b"),
    *("x}", "x{", 'x"', "x'", "x\\", "$x", "${x}", "x;", "x\0", "../x", ""),
)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("text", INJECTED)
def test_no_field_of_a_pool_adds_a_word(
    write: Callable[[Pool], str], text: str
) -> None:
    """A writer refuses it by name, whoever made the pool."""
    first, second = GOOD
    pools = [
        Pool(name="shop", members=(Member(address=f"a{text}:1"), second))
        if text
        else Pool(name="", members=GOOD),
        Pool(name="shop", members=(Member(address=f"a:1{text or ';'}"), second)),
        Pool(name=f"shop{text or ' '}", members=GOOD),
        Pool(name="shop", members=GOOD, listen=f":80{text or ';'}"),
        Pool(name="shop", members=GOOD, health=f"/h{text or ' '}"),
        Pool(
            name="shop", members=(Member(address="a:1", name=f"a{text or '/'}"), first)
        ),
        Pool(
            name="shop",
            members=(Member(address="a:1", health=f"a:2{text or ' '}"), first),
        ),
    ]
    for pool in pools:
        if text == "../x" and pool.health:
            continue  # a path may have dots
        with pytest.raises(MisuseError):
            write(pool)


@pytest.mark.parametrize("write", WRITERS)
@given(st.text(), st.text())
def test_whatever_is_written_has_the_lines_of_a_good_pool(
    write: Callable[[Pool], str], name: str, tail: str
) -> None:
    """Names and addresses change words, never lines or braces."""

    def shape(text: str) -> list[str]:
        return [re.sub(r"[^{};\n]+", "x", each) for each in text.split("\n")]

    plain = write(Pool(name="shop", members=(Member(address="x:1", name="n"), GOOD[1])))
    member = Member(address=f"x{tail}:1", name=name or "n")
    try:
        written = write(Pool(name="shop", members=(member, GOOD[1])))
    except MisuseError:
        return
    assert shape(written) == shape(plain)


def test_names_that_look_alike_stay_apart() -> None:
    """HAProxy refuses a configuration that has a name twice."""
    names = ("a b", "a_b", "a:b", "", "s4", "s5")
    members = tuple(
        Member(address=f"10.0.0.{number}:1", name=name)
        for number, name in enumerate(names, start=1)
    )
    pool = Pool(name="shop", members=members)
    assert len(set(pool.labels())) == len(names)
    assert pool.labels()[0] == "a_b"


@pytest.mark.parametrize("name", ["a\nserver evil:1", "a/b", "..", ".x", "a\x1b", ""])
def test_an_agent_takes_no_such_name(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Neither as an option nor from the environment."""
    monkeypatch.setenv("GAPLESS_HOST", name or "/")
    for given_name in (name, ""):
        with pytest.raises(MisuseError, match="cannot name a host"):
            host_name(given_name)


@pytest.mark.parametrize("given_address", ["a b:1", "a;:1", "a\n:1", "a}:1", "a:99999"])
def test_an_agent_reports_no_such_address(given_address: str) -> None:
    """From the options or from the file, also of the health endpoint."""
    spec = ReleaseSpec(app="shop", base="/nowhere")
    fleet = Fleet(release=spec, policy=Policy(), file="", directory="", etcd=None)
    with pytest.raises(MisuseError):
        host_addresses(fleet, given_address, "")
    with pytest.raises(MisuseError):
        host_addresses(fleet, "10.0.0.2", given_address)


def test_the_report_of_an_attacker_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`gapless balancer` names the record, and leaves it out."""
    config = tmp_path / "gapless.toml"
    config.write_text('[release.shop]\nbase = "base"\n[rollout.shop]\nslots = 1\n')
    shared = DirectoryCoordinator(str(tmp_path / "base" / "fleet"), pytest.fail)
    for name in ("a", "b", "c"):
        report = HostReport(host=name, addresses=(f"{name}:3000",))
        content = records.encode_host(report)
        if name == "c":
            value = records.decode("host", content)
            wrong = ["c:3000;}\nserver evil:1"]
            content = records.encode("host", value | {"addresses": wrong})
        shared.write(f"hosts/shop/{name}", content, expected=0)
    parser = argparse.ArgumentParser()
    balancer.add_arguments(parser)
    for kind in ("nginx", "haproxy"):
        assert balancer.run(parser.parse_args([kind, "shop", "-c", str(config)])) == 0
        found = capsys.readouterr()
        assert "server" in found.out
        assert "evil" not in found.out
        assert "hosts/shop/c is ignored: " in found.err
        assert len(found.err.splitlines()) == 1


def test_nginx_and_haproxy_take_the_oddest_pool_that_passes(tmp_path: Path) -> None:
    """What the check lets through is configuration for the programs themselves."""
    members = (
        Member(address="127.0.0.1:3000", name="a b:c@d+e", health="127.0.0.1:4000"),
        Member(address="[::1]:3000", name="a_b_c_d_e"),
        Member(address="127.0.0.3:3000", name="x" * 128),
    )
    health = "/a%20b@c:d/~e?f=g&h=!*()+,"
    pool = Pool(name="sh-op.x_1", members=members, health=health, listen=":18080")
    include = tmp_path / "pool.conf"
    include.write_text(nginx.configuration(pool))
    main = tmp_path / "nginx.conf"
    main.write_text(
        nginx_frame.configuration(tmp_path, f"  include {include};", main="")
    )
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert program is not None
    subprocess.run([program, "-t", "-p", str(tmp_path), "-c", str(main)], check=True)
    (tmp_path / "haproxy.cfg").write_text(haproxy.configuration(pool))
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert program is not None
    subprocess.run([program, "-c", "-f", str(tmp_path / "haproxy.cfg")], check=True)


@given(st.text(max_size=40))
def test_an_address_is_two_words(text: str) -> None:
    """Whatever passes has no blank, quote, brace, semicolon or end of line."""
    if is_address(text):
        assert re.fullmatch(r"[A-Za-z0-9._\[\]:%-]+", text)
