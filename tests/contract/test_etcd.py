"""The coordinator in etcd: endpoints, passwords, certificates, outages."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gapless.base.errors import GaplessError, UnavailableError
from gapless.coordinator import model
from gapless.coordinator.decoding import EtcdRange
from gapless.coordinator.etcd import EtcdCoordinator
from gapless.coordinator.etcd_settings import EtcdSettings
from gapless.coordinator.model import ABSENT
from rig.programs.etcd import Etcd
from rig.wait import free_port


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Etcd]:
    """Run an etcd that a test may kill."""
    found = Etcd(tmp_path / "etcd").start()
    try:
        yield found
    finally:
        found.kill()


def test_the_next_endpoint_is_asked_when_one_is_dead(etcd: Etcd) -> None:
    """For reading, writing and waiting."""
    dead = f"http://127.0.0.1:{free_port()}"
    own = EtcdCoordinator(EtcdSettings(endpoints=(dead, etcd.url)))
    entry = own.write("a/b", b"1", expected=ABSENT)
    assert own.read("a/b") == entry
    again = EtcdCoordinator(EtcdSettings(endpoints=(dead, etcd.url)))
    assert again.wait("a", {}, 10) == {"a/b": entry}


def test_away_is_said_and_back_is_back(etcd: Etcd) -> None:
    """Its keys survive an outage, and a wait begun after it sees a change."""
    own = EtcdCoordinator(EtcdSettings(endpoints=(etcd.url,)))
    entry = own.write("a/b", b"1", expected=ABSENT)
    seen = {"a/b": entry.version}
    etcd.kill()
    with pytest.raises(UnavailableError, match=r"etcd does not answer: .*refused"):
        own.read("a/b")
    etcd.start()
    found: list[dict[str, model.Entry]] = []
    waiting = threading.Thread(target=lambda: found.append(own.wait("a", seen, 30)))
    waiting.start()
    other = EtcdCoordinator(EtcdSettings(endpoints=(etcd.url,)))
    other.write("a/b", b"2", expected=entry.version)
    waiting.join(30)
    assert found[0]["a/b"].value == b"2"


def test_a_write_without_an_answer_is_told_as_such() -> None:
    """It may have been done, so it is not sent to the next endpoint."""
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]

        def receive() -> None:
            for _ in range(2):
                try:
                    sock, _ = mute.accept()
                except OSError:
                    return
                with sock:
                    requests.append(sock.recv(65536))

        threading.Thread(target=receive, daemon=True).start()
        url = f"http://127.0.0.1:{port}"
        own = EtcdCoordinator(EtcdSettings(endpoints=(url, url), timeout_s=2))
        with pytest.raises(UnavailableError, match="did not answer a write") as caught:
            own.write("a", b"1", expected=ABSENT)
        assert "may have been done" in caught.value.hint
        assert len(requests) == 1


def test_user_and_password(etcd: Etcd) -> None:
    """A token that has expired is renewed."""
    admin = EtcdCoordinator(EtcdSettings(endpoints=(etcd.url,)))
    for path, message in (
        ("auth/user/add", {"name": "root", "password": "secret"}),
        ("auth/user/grant", {"user": "root", "role": "root"}),
        ("auth/enable", {}),
    ):
        admin._gateway.ask(path, message, EtcdRange)
    settings = EtcdSettings(endpoints=(etcd.url,), user="root", password="secret")
    own = EtcdCoordinator(settings)
    entry = own.write("a", b"1", expected=ABSENT)
    own._gateway._token = "expired.1"
    assert own.read("a") == entry
    wrong = EtcdCoordinator(
        EtcdSettings(endpoints=(etcd.url,), user="root", password="x")
    )
    with pytest.raises(GaplessError, match="etcd does not know root"):
        wrong.read("a")
    anonymous = EtcdCoordinator(EtcdSettings(endpoints=(etcd.url,)))
    with pytest.raises(GaplessError, match="etcd refuses"):
        anonymous.read("a")


def make_certificates(directory: Path) -> None:
    """Make an authority, and certificates for a server and a client on this machine."""

    def openssl(*words: str) -> None:
        subprocess.run(
            ["openssl", *words], cwd=directory, check=True, capture_output=True
        )

    new = ("-newkey", "rsa:2048", "-nodes", "-subj")
    authority = ("-keyout", "ca.key", "-out", "ca.crt", "-days", "2")
    openssl("req", "-x509", *new, "/CN=ca", *authority)
    usage = "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n"
    (directory / "extensions").write_text(usage)
    for name in ("server", "client"):
        files = ("-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl("req", *new, f"/CN={name}", *files)
        signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
        extended = ("-extfile", "extensions", "-out", f"{name}.crt")
        openssl("x509", "-req", "-in", f"{name}.csr", *signed, *extended)


def test_tls(tmp_path: Path) -> None:
    """Server and client prove themselves by certificates."""
    make_certificates(tmp_path)
    etcd = Etcd(
        tmp_path / "etcd",
        f"--cert-file={tmp_path}/server.crt",
        f"--key-file={tmp_path}/server.key",
        "--client-cert-auth",
        f"--trusted-ca-file={tmp_path}/ca.crt",
        scheme="https",
    ).start()
    try:
        settings = EtcdSettings(
            endpoints=(etcd.url,),
            ca_file=str(tmp_path / "ca.crt"),
            certificate_file=str(tmp_path / "client.crt"),
            key_file=str(tmp_path / "client.key"),
        )
        own = EtcdCoordinator(settings)
        entry = own.write("a", b"1", expected=ABSENT)
        assert own.read("a") == entry
        other = tmp_path / "other"
        other.mkdir()
        make_certificates(other)
        for ca, name in ((other / "ca.crt", "client"), (tmp_path / "ca.crt", "")):
            stranger = EtcdCoordinator(
                EtcdSettings(
                    endpoints=(etcd.url,),
                    ca_file=str(ca),
                    certificate_file=name and str(tmp_path / f"{name}.crt"),
                    key_file=name and str(tmp_path / f"{name}.key"),
                )
            )
            with pytest.raises(UnavailableError, match="etcd does not answer"):
                stranger.read("a")
    finally:
        etcd.kill()
