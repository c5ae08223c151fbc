"""From a tarball to a release that serves; if the new one fails, the old one stays."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest

from rig.hosts.host import (
    APPS,
    GAPLESS,
    Host,
)
from rig.load import engine
from rig.load.process import run_load
from rig.wait import free_port, until


def pack(path: Path, files: dict[str, bytes], top: str = "example/") -> Path:
    """Write a tarball of files."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(top + name)
            member.size = len(content)
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(content))
    return path


def app_files(version: str) -> dict[str, bytes]:
    """Return a Node app whose code names its version."""
    code = (APPS / "app.js").read_text()
    code = code.replace("process.env.RELEASE || '0'", f"'{version}'")
    return {"app.js": code.encode()}


def site(host: Host, *, more: str = "", app: str = "") -> int:
    """Configure an app and its releases; return the port."""
    port = free_port()
    host.configure(
        '[app.example]\ncommand = ["node", "app.js"]\ndirectory = "dfs/dist/example"\n'
        f"environment = {{ PORT = {port} }}\nmin_healthy_s = 0.3\n{app}\n"
        f'[release.example]\nbase = "dfs"\n{more}\n'
    )
    (host.directory / "dfs" / "src").mkdir(parents=True)
    return port


def upload(host: Host, version: str) -> Path:
    """Put a tarball into the inbox."""
    beside = pack(host.directory / "example.tar.gz", app_files(version))
    target = host.directory / "dfs" / "src" / "example.tar.gz"
    os.replace(beside, target)
    return target


def current(host: Host) -> Path:
    """Return the directory that the link names."""
    return (host.directory / "dfs" / "dist" / "example").resolve()


def left_behind(host: Host) -> list[str]:
    """Return all in dist/ and its work directory that is no release."""
    dist = host.directory / "dfs" / "dist"
    return sorted(
        str(path.relative_to(dist))
        for path in [*dist.glob("*"), *dist.glob(".gapless-example/*")]
        if not path.name.startswith("example")
        if path.name not in ("lock", "settling", "reserve")
        if path.name != ".gapless-example"
    )


def test_publish_hands_over_and_rollback_goes_back(host: Host) -> None:
    """The layout of directories is the article's; the report lists the steps."""
    port = site(host)
    host.ok("publish", upload(host, "1"))
    host.start_file("gapless.toml", "example")
    first = current(host)
    with run_load(port, engine.NEW, engine.POST) as under_load:
        under_load.wait_for_version("1")
        report = host.json("publish", upload(host, "2"))
        assert report["outcome"] == "done", report
        under_load.wait_for_version("2")
        second = current(host)
        assert second != first
        assert (second / "RELEASE").read_text().strip() >= second.name[-14:]
        steps = [step["step"] for step in report["steps"]]
        for step in ("claimed", "unpacked", "built", "sealed", "placed", "switched"):
            assert step in steps
        assert steps.index("proven") < steps.index("closed")
        kept = json.loads(Path(report["report"]).read_text())
        assert kept["release"] == {"old": first.name, "new": second.name}
        host.ok("rollback", "example")
        assert current(host) == first
        reports = sorted(Path(report["report"]).parent.parent.glob(f"{first.name}/*"))
        told = [json.loads(p.read_text()).get("action") for p in reports]
        assert told.count("rollback") == 1
        assert told.count("publish") == 1, reports
        before = under_load.versions()["2"]
        under_load.wait_for(50)
        assert under_load.versions()["2"] == before
        assert under_load.stop().lost == 0
    assert left_behind(host) == []
    listed = host.json("releases", "example")
    assert [row["current"] for row in listed] == [True, False]


def test_a_broken_release_is_not_made_current(host: Host) -> None:
    """It is marked as failed, and `rollback` skips it."""
    port = site(host)
    host.ok("publish", upload(host, "1"))
    host.start_file("gapless.toml", "example")
    before = current(host)
    broken = pack(host.directory / "example.tgz", {"app.js": b"throw new Error('no')"})
    with run_load(port, engine.NEW) as under_load:
        under_load.wait_for_version("1")
        done = host.gapless("publish", broken)
        under_load.wait_for(20)
        assert under_load.stop().lost == 0
    assert done.returncode == 1
    assert "Error: no" in done.stdout
    assert current(host) == before
    assert [bool(row["failure"]) for row in host.json("releases", "example")] == [
        False,
        True,
    ]


STEPS = ["claimed", "unpacked", "built", "sealed", "placed", "flipped"]
KILL = """
import os, signal, sys
sys.argv = ["gapless", "publish", sys.argv[2], sys.argv[1]]
from gapless import __main__
from gapless.deploy import deployment
step = sys.argv.pop()
plain = deployment.Deployment.step
def killing(self, name, detail):
    plain(self, name, detail)
    if name == step:
        os.kill(os.getpid(), signal.SIGKILL)
deployment.Deployment.step = killing
sys.exit(__main__.main())
"""


def test_a_broken_release_of_an_app_that_recycles_is_not_made_current(
    host: Host,
) -> None:
    """The earlier version serves again; that must not count as proof of the new one."""
    port = site(host, app="overlap = false")
    host.ok("publish", upload(host, "1"))
    host.start_file("gapless.toml", "example")
    first = current(host)
    beside = pack(host.directory / "example.tar.gz", {"app.js": b"process.exit(3)"})
    target = host.directory / "dfs" / "src" / "example.tar.gz"
    os.replace(beside, target)
    report = host.json("publish", target)
    assert report["outcome"] == "failed", report
    assert "restored" in [step["step"] for step in report["steps"]]
    assert current(host) == first
    with run_load(port, engine.NEW) as under_load:
        under_load.wait_for_version("1")
        report = host.json("publish", upload(host, "2"))
        assert report["outcome"] == "done", report
        under_load.wait_for_version("2")
        assert under_load.stop().lost == 0
    assert current(host) != first


@pytest.mark.parametrize("step", STEPS)
def test_a_publisher_that_is_killed_after_a_step_leaves_nothing_half_done(
    host: Host, step: str
) -> None:
    """Until the flip the old release is current; the next run goes on or cleans up."""
    site(host)
    host.ok("publish", upload(host, "1"))
    before = current(host)
    tarball = upload(host, "2")
    python = Path(GAPLESS).parent / "python"
    killed = subprocess.run(
        [python, "-c", KILL, step, tarball],
        cwd=host.directory,
        env=host.environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (current(host) == before) == (step != "flipped")
    if tarball.exists():
        again = tarball
    elif step == "claimed" or step in ("unpacked", "built", "sealed"):
        # The tarball is claimed; the next run takes it up.
        host.ok("watch", "--once")
        again = None
    else:
        again = upload(host, "3")
    if again is not None:
        host.ok("publish", again)
    assert current(host) != before
    assert left_behind(host) == []
    assert (current(host) / "RELEASE").exists()


BAD_MEMBERS: dict[str, tuple[dict[str, object], str]] = {
    "climbs out": ({"name": "example/../../evil"}, "climbs out with .."),
    "absolute": ({"name": "/tmp/evil"}, "absolute path"),
    "symlink out": (
        {"name": "example/l", "type": tarfile.SYMTYPE, "linkname": "../../etc"},
        "link out of the tree",
    ),
    "absolute symlink": (
        {"name": "example/l", "type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
        "link out of the tree",
    ),
    "link that leaves once the top is stripped": (
        {"name": "example/l", "type": tarfile.SYMTYPE, "linkname": "../other"},
        "link out of the tree",
    ),
    "hard link out": (
        {"name": "example/l", "type": tarfile.LNKTYPE, "linkname": "../../etc/passwd"},
        "hard link out of the tree",
    ),
    "device": ({"name": "example/d", "type": tarfile.CHRTYPE}, "device or a pipe"),
    "pipe": ({"name": "example/p", "type": tarfile.FIFOTYPE}, "device or a pipe"),
    "set-id": ({"name": "example/s", "mode": 0o4755}, "set-id bit"),
}


@pytest.mark.parametrize("what", BAD_MEMBERS)
def test_a_tarball_that_would_escape_is_refused_and_moved_aside(
    host: Host, what: str
) -> None:
    """The member is named, nothing is left in dist/, the reason is beside the tarball."""
    site(host)
    fields, reason = BAD_MEMBERS[what]
    target = host.directory / "dfs" / "src" / "example.tar.gz"
    with tarfile.open(target, "w:gz") as archive:
        ordinary = tarfile.TarInfo("example/app.js")
        archive.addfile(ordinary, io.BytesIO(b""))
        member = tarfile.TarInfo(str(fields["name"]))
        for name, value in fields.items():
            setattr(member, name, value)
        archive.addfile(member, io.BytesIO(b""))
    done = host.gapless("publish", target)
    assert done.returncode == 1, done.stdout
    assert reason in done.stderr
    refused = host.directory / "dfs" / "refused" / "example"
    assert (refused / "example.tar.gz").exists()
    assert reason in (refused / "example.tar.gz.reason.txt").read_text()
    assert left_behind(host) == []
    assert not (host.directory / "dfs" / "dist" / "example").exists()


@pytest.mark.parametrize("what", ["truncated", "no tarball", "empty", "a bomb"])
def test_a_tarball_that_is_broken_is_refused(host: Host, what: str) -> None:
    """The message names the fault."""
    site(host, more="limits = { max_unpacked_mb = 5 }")
    target = host.directory / "dfs" / "src" / "example.tar.gz"
    if what == "truncated":
        whole = pack(host.directory / "x.tar.gz", {"big": os.urandom(200_000)})
        target.write_bytes(whole.read_bytes()[:100_000])
    elif what == "no tarball":
        target.write_bytes(b"this is no tarball" * 100)
    elif what == "empty":
        pack(target, {})
    else:
        pack(target, {"zeros": bytes(20 << 20)})
    done = host.gapless("publish", target)
    assert done.returncode == 1
    expected = {"empty": "is empty", "a bomb": "more than the 5 MB"}.get(
        what, "is broken"
    )
    assert expected in done.stderr
    assert left_behind(host) == []
    assert (host.directory / "dfs" / "refused" / "example" / "example.tar.gz").exists()


def test_a_disk_that_takes_no_more_leaves_the_tarball_where_it_was(host: Host) -> None:
    """No part of the release stays, and the next try may succeed."""
    site(host)
    target = host.directory / "dfs" / "src" / "example.tar.gz"
    pack(target, {"zeros": bytes(4 << 20)})
    limited = subprocess.run(
        ["bash", "-c", f"ulimit -f 1024; exec {GAPLESS} publish {target}"],
        cwd=host.directory,
        env=host.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert limited.returncode == 1
    assert "file too large" in limited.stderr
    assert target.exists()
    assert left_behind(host) == []
    host.ok("publish", target)


def test_a_build_that_fails_holds_the_release(host: Host) -> None:
    """The end of its log is printed; the whole log is in the reports."""
    site(host, more='build = ["sh", "-c", "echo compiling; exit 3"]')
    done = host.gapless("publish", upload(host, "1"))
    assert done.returncode == 1
    assert "ended with code 3" in done.stderr
    assert "compiling" in done.stderr
    assert not current(host).exists()


def test_a_build_that_hangs_is_ended_whole(host: Host) -> None:
    """Every process that it started is killed."""
    more = 'build = ["sh", "-c", "sleep 777 & sleep 778"]\nbuild_timeout_s = 0.5'
    site(host, more=more)
    done = host.gapless("publish", upload(host, "1"))
    assert "was ended after 0.5 s" in done.stderr
    assert not [c for c in host.processes().values() if "sleep 77" in c]


def test_hooks_run_once_per_release_and_a_failing_one_holds_it(host: Host) -> None:
    """`before_flip` runs before the flip, `after` when the release serves."""
    site(
        host,
        more='hooks = { before_flip = ["sh", "-c", "echo before >> ../../../hooks"], '
        'after = ["sh", "-c", "echo after >> ../../hooks"] }',
    )
    host.ok("publish", upload(host, "1"))
    found = [*host.directory.glob("**/hooks")]
    assert sorted("".join(path.read_text() for path in found).split()) == [
        "after",
        "before",
    ]
    text = (host.directory / "gapless.toml").read_text()
    host.configure(text.replace("echo before", "exit 4; echo before"))
    before = current(host)
    assert host.gapless("publish", upload(host, "2")).returncode == 1
    assert current(host) == before


def test_what_is_shared_outlives_releases(host: Host) -> None:
    """A shared folder and a shared file are linked into each release."""
    site(host, more='shared = ["uploads", ".env"]')
    lasting = host.directory / "dfs" / "shared" / "example"
    lasting.mkdir(parents=True)
    (lasting / ".env").write_text("KEY=1")
    for version in ("1", "2"):
        host.ok("publish", upload(host, version))
        assert (current(host) / ".env").read_text() == "KEY=1"
        (current(host) / "uploads" / version).write_text("kept")
    assert sorted(p.name for p in (lasting / "uploads").iterdir()) == ["1", "2"]


def test_old_releases_go_but_never_what_runs_or_what_was_before(host: Host) -> None:
    """With keep = 2, the current release and the one before it stay."""
    port = site(host, more="keep = 2")
    host.ok("publish", upload(host, "1"))
    host.start_file("gapless.toml", "example")
    for version in ("2", "3", "4"):
        host.ok("publish", upload(host, version))
    listed = host.json("releases", "example")
    assert len(listed) == 2
    assert listed[-1]["current"]
    with run_load(port, engine.NEW) as under_load:
        under_load.wait_for_version("4")


def test_watch_publishes_what_is_complete_and_only_that(host: Host) -> None:
    """A checksum proves it; without one, the archive must be readable to its end."""
    site(host)
    tarball = upload(host, "1")
    digest = hashlib.sha256(tarball.read_bytes()).hexdigest()
    Path(f"{tarball}.sha256").write_text("0" * 64)
    host.ok("watch", "--once")
    assert tarball.exists()
    Path(f"{tarball}.sha256").write_text(f"{digest}  example.tar.gz\n")
    host.ok("watch", "--once")
    assert not tarball.exists()
    assert not Path(f"{tarball}.sha256").exists(), "the next upload has its own"
    first = current(host)
    partial = host.directory / "dfs" / "src" / "example.tar.gz"
    whole = pack(host.directory / "y.tar.gz", {"big": os.urandom(100_000)})
    partial.write_bytes(whole.read_bytes()[:50_000])
    host.ok("watch", "--once")
    assert current(host) == first
    partial.write_bytes(whole.read_bytes())
    host.ok("watch", "--once")
    assert current(host) != first


def test_an_upload_belongs_to_the_app_with_the_longest_name(host: Host) -> None:
    """`shop-admin.tar.gz` is not a version of shop."""
    host.configure('[release.shop]\nbase = "dfs"\n[release.shop-admin]\nbase = "dfs"\n')
    inbox = host.directory / "dfs" / "src"
    inbox.mkdir(parents=True)
    for name in ("shop-admin.tar.gz", "shop-1.2.tar.gz", "shop-admin-1.2.tar.gz"):
        pack(inbox / name, {"app.js": name.encode()})
    host.ok("watch", "--once")
    names = sorted(p.name[:-15] for p in (host.directory / "dfs/dist").glob("*-2*"))
    assert names == ["shop", "shop-admin", "shop-admin"]


def test_what_the_system_refuses_is_said_without_a_traceback(host: Host) -> None:
    """The message names the path and the reason."""
    site(host)
    tarball = upload(host, "1")
    (host.directory / "dfs" / "dist").write_text("in the way")
    done = host.gapless("publish", tarball)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "dfs/" in done.stderr
    assert "publish failed" in done.stderr


def test_a_report_that_cannot_be_written_fails_no_release(host: Host) -> None:
    """The release serves, so the exit code is 0."""
    port = site(host)
    host.ok("publish", upload(host, "1"))
    host.start_file("gapless.toml", "example")
    reports = f"{host.directory}/dfs/reports/example"
    script = (
        "import os, glob\n"
        f"for path in glob.glob('{reports}/*'):\n"
        "    if not glob.glob(path + '/*.json'):\n"
        "        os.mkdir(path + '/' + os.uname().nodename + '.json')\n"
    )
    blocker = ["python3", "-c", script]
    text = (host.directory / "gapless.toml").read_text()
    host.configure(f"{text}\nhooks = {{ before_flip = {json.dumps(blocker)} }}\n")
    done = host.gapless("publish", upload(host, "2"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "could not record the outcome" in done.stdout
    with run_load(port, engine.NEW) as under_load:
        under_load.wait_for_version("2")
        assert under_load.stop().lost == 0


def test_two_publishers_at_once_make_two_releases(host: Host) -> None:
    """They run one after the other, and each release is whole."""
    site(host, more='build = ["sleep", "0.3"]')
    tarballs = [
        pack(host.directory / f"example-{n}.tar.gz", app_files(str(n))) for n in (1, 2)
    ]
    commands = [host.begin("publish", tarball) for tarball in tarballs]
    said = [command.communicate(timeout=60)[0] for command in commands]
    assert [command.returncode for command in commands] == [0, 0], said
    stamps = [row["release"] for row in host.json("releases", "example")]
    assert len(set(stamps)) == 2
    assert left_behind(host) == []


def test_the_articles_scripts_read_what_we_write(host: Host) -> None:
    """The second cron script compares RELEASE, through the link, with its own file."""
    site(host)
    host.ok("publish", upload(host, "1"))
    script = (
        "read releaseAt < dfs/dist/example/RELEASE; read restartAt < restarted; "
        'if [ "$releaseAt" -lt "$restartAt" ]; then echo nothing; else echo restart; fi'
    )
    (host.directory / "restarted").write_text("20000101000000\n")

    def decide() -> str:
        return subprocess.run(
            ["bash", "-c", script],
            cwd=host.directory,
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        ).stdout.strip()

    assert decide() == "restart"
    (host.directory / "restarted").write_text("29990101000000\n")
    assert decide() == "nothing"


def test_a_directory_in_the_place_of_the_link_is_not_overwritten(host: Host) -> None:
    """The article's second release leaves such a directory; it is named and stays."""
    site(host)
    wrong = host.directory / "dfs" / "dist" / "example"
    wrong.mkdir(parents=True)
    done = host.gapless("publish", upload(host, "1"))
    assert done.returncode == 1
    assert "is no symlink" in done.stderr
    assert wrong.is_dir()
    shutil.rmtree(wrong)
    host.ok("publish", upload(host, "2"))
    until(lambda: current(host).name.startswith("example-2"), "a release")
