"""The process that reads a tarball: what it may do, and what its parent believes of it."""

from __future__ import annotations

import json
import lzma
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gapless.base import interpreter
from gapless.base.errors import ReleaseError
from gapless.releases.model import Limits
from gapless.releases.steps.unpack import unpack
from gapless.releases.unpacking import process
from rig.fixtures import archives
from rig.fixtures.archives import END, file, header
from rig.wait import until

ATTEMPTS = """
import ctypes, json, os, signal, socket, subprocess, sys, threading
from gapless.releases.unpacking import confinement
tree, outside = os.open(sys.argv[1], os.O_RDONLY), sys.argv[2]
confinement.confine(
    parent=os.getppid(), tree=tree, memory_bytes=1 << 29, seconds=60, file_bytes=1 << 20
)
def write():
    os.close(os.open("inside", os.O_CREAT | os.O_WRONLY, dir_fd=tree))
    os.mkdir("folder", dir_fd=tree)
    os.link("inside", "folder/linked", src_dir_fd=tree, dst_dir_fd=tree)
write()
done = []
for name, act in {
    "write outside": lambda: open(outside + "/new", "w"),
    "append outside": lambda: open(outside + "/secret", "a"),
    "read outside": lambda: open(outside + "/secret"),
    "read by way of the tree": lambda: os.open("../secret", os.O_RDONLY, dir_fd=tree),
    "remove outside": lambda: os.unlink(outside + "/secret"),
    "move outside": lambda: os.rename(outside + "/secret", outside + "/other"),
    "move in": lambda: os.rename(outside + "/secret", "s", dst_dir_fd=tree),
    "link in": lambda: os.link(outside + "/secret", "s", dst_dir_fd=tree),
    "link out": lambda: os.link("inside", outside + "/new", src_dir_fd=tree),
    "a folder outside": lambda: os.mkdir(outside + "/folder"),
    "the mode of a file outside": lambda: os.chmod(outside + "/secret", 0o777),
    "its owner": lambda: os.chown(outside + "/secret", os.getuid(), -1),
    "the owner of a file inside": lambda: os.chown(tree, os.getuid(), -1),
    "an attribute outside": lambda: os.setxattr(outside + "/secret", "user.a", b"1"),
    "its size": lambda: os.truncate(outside + "/secret", 0),
    "a set-id file": lambda: os.open("s", os.O_CREAT | os.O_RDWR, 0o4755, dir_fd=tree),
    "a set-id folder": lambda: os.mkdir("f", 0o2755, dir_fd=tree),
    "a set-id bit": lambda: os.fchmod(os.open("folder", 0, dir_fd=tree), 0o2755),
    "a pipe inside": lambda: os.mkfifo("pipe", dir_fd=tree),
    "a process": os.fork,
    "a thread": lambda: threading.Thread(target=print).start(),
    "a program": lambda: os.execv("/bin/true", ["true"]),
    "a program by spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "a socket": socket.socket,
    "a pair of sockets": socket.socketpair,
    "a signal": lambda: os.kill(os.getppid(), 0),
    "a large file": lambda: os.truncate(tree, 0) or done.append("truncated"),
    "much memory": lambda: bytearray(1 << 30),
}.items():
    try:
        act()
        done.append(name)
    except (OSError, RuntimeError, MemoryError):
        pass
print(json.dumps(done))
"""


def could_do(program: str, *words: Path) -> list[str]:
    """Return what a program that confines itself says that it could do after that."""
    source = Path(interpreter.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def test_the_child_can_do_nothing_but_write_below_its_tree(tmp_path: Path) -> None:
    """Each attempt is refused by the kernel: the code is not asked."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "secret").write_text("of another app")
    mode = (tmp_path / "secret").stat().st_mode & 0o777
    assert could_do(ATTEMPTS, tmp_path / "tree", tmp_path) == []
    assert (tmp_path / "secret").read_text() == "of another app"
    assert (tmp_path / "secret").stat().st_mode & 0o777 == mode
    assert sorted(os.listdir(tmp_path)) == ["secret", "tree"]
    assert (tmp_path / "tree" / "folder" / "linked").exists()


CALLS = """
import ctypes, json, os, resource, signal, socket, threading
from gapless.releases.unpacking import confinement
libc, parent = ctypes.CDLL(None, use_errno=True), os.getppid()
pidfd, main = os.pidfd_open(parent), threading.main_thread().ident
libc.prctl(38, 1, 0, 0, 0)
assert confinement.refuse_calls()
def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)
done = []
for name, act in {
    "a signal": lambda: os.kill(parent, 0),
    "a signal by a descriptor": lambda: signal.pidfd_send_signal(pidfd, 0),
    "a signal to a thread": lambda: signal.pthread_kill(main, 0),
    "a signal with a value": lambda: call("sigqueue", parent, 0, None),
    "a look": lambda: call("process_vm_readv", parent, None, 0, None, 0, 0),
    "its limits": lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE),
    "its priority": lambda: os.setpriority(0, parent, os.getpriority(0, parent)),
    "its processors": lambda: os.sched_setaffinity(parent, os.sched_getaffinity(0)),
    "memory of a file": lambda: os.memfd_create("a"),
    "shared memory": lambda: call("shmget", 1234567, 1, 0),
    "the name of the host": lambda: socket.sethostname(socket.gethostname()),
}.items():
    try:
        act()
        done.append(name)
    except OSError as error:
        if error.errno != 1:
            done.append(f"{name}: {error}")
print(json.dumps(done))
"""


def test_the_filter_alone_lets_it_act_on_no_other_process() -> None:
    """By whatever call: a kernel without landlock has nothing else."""
    assert could_do(CALLS) == []


HOSTILE = {
    "nothing": (["true"], "ended with code 0 and did not say why"),
    "an end with a code": (["sh", "-c", "exit 7"], "ended with code 7"),
    "killed": (["sh", "-c", "kill -9 $$"], "was killed: memory, or processor time"),
    "a crash": (["sh", "-c", "kill -SEGV $$"], "ended by signal 11"),
    "too much processor time": (["sh", "-c", "kill -XCPU $$"], "more processor time"),
    "too many words": (["yes"], "ended by signal|ended with code|was killed"),
    "no JSON": (["echo", "{"], "did not say why"),
    "a list": (["echo", "[" * 4000], "did not say why"),
    "no number": (["echo", '{"files": "1"}'], "said files = '1'"),
    "a number that is none": (["echo", '{"files": true}'], "said files"),
    "an error that is none": (
        ["echo", '{"errno": 1099511627776}'],
        "said errno = 10995",
    ),
    "a number that is too large": (["echo", '{"files": 1e400}'], "said files"),
    "a text that is none": (["echo", '{"refused": {"a": "\\u001b"}}'], "{'a': "),
    "an escape": (["echo", '{"broken": "\\u001b]0;evil"}'], r"\\x1b\]0;evil"),
    "an end after that of its output": (
        ["sh", "-c", "exec >&-; sleep 0.2; exit 7"],
        "ended with code 7",
    ),
    "silence": (["sleep", "60"], "took longer than 0.3 s"),
    "silence after the end of its output": (
        ["sh", "-c", "exec >&-; exec sleep 60"],
        "took longer than 0.3 s",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_whatever_becomes_of_the_child_is_an_error_of_that_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """It names the upload, in one printable line, and nothing is left of the tree."""
    words, message = HOSTILE[what]
    monkeypatch.setattr(interpreter, "python", lambda *_: words)
    tarball = archives.write(tmp_path / "app.tar", file(b"a") + END)
    limits = Limits(timeout_s=0.3 if "0.3" in message else 30)
    with pytest.raises(ReleaseError, match=message) as at:
        unpack(tarball, str(tmp_path / "tree"), limits)
    assert at.value.message.startswith("app.tar ")
    assert at.value.message.isprintable()
    assert len(at.value.message) < 1000
    assert os.listdir(tmp_path) == ["app.tar"]


@pytest.mark.parametrize(
    "record",
    [b"\0", b"x" * 64 + b" a\0", b"0" * 64 + b" \0", (b"0" * 64 + b" a\0") * 3000],
)
def test_digests_that_are_none_are_not_believed(record: bytes) -> None:
    """They come from the child in a file, of which no more is read than there may be."""
    descriptor = os.memfd_create("digests")
    os.write(descriptor, record)
    with pytest.raises(ReleaseError, match="digest"):
        process._read_digests(descriptor, 1 if len(record) < 100 else 2, Limits())
    os.close(descriptor)


def test_a_full_disk_is_no_fault_of_the_upload(tmp_path: Path) -> None:
    """An OSError says that it may be tried again: the limit is the publisher's own."""
    tarball = archives.write(tmp_path / "app.tar", file(b"a", bytes(40_000)) + END)
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000));"
        "from gapless.releases.steps.unpack import unpack;"
        "from gapless.releases.model import Limits;"
        "unpack(sys.argv[1], sys.argv[2], Limits())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tarball, tmp_path / "tree"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "OSError: [Errno 27] File too large: 'a'" in done.stderr


def test_memory_has_a_limit(tmp_path: Path) -> None:
    """`xz -9` takes 65 MB to be read, and an upload may ask for more."""
    (tmp_path / "app.tar").write_bytes(lzma.compress(archives.ordinary(), preset=9))
    with pytest.raises(ReleaseError, match=r"more than 64 MB of memory|not say why"):
        unpack(
            str(tmp_path / "app.tar"),
            str(tmp_path / "tree"),
            Limits(max_memory_bytes=64 << 20),
        )


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    """Also when its parent is killed in the middle: nothing is left that unpacks."""
    endless = tmp_path / "app.tar"
    endless.write_bytes(header(b"a", size=b"\x80\0\0\0\0\0\1" + bytes(5)))
    os.truncate(endless, 1 << 40)
    code = (
        "import sys; from gapless.releases.tarballs import read_to_end;"
        "from gapless.releases.model import Limits;"
        "read_to_end(sys.argv[1], Limits(max_unpacked_bytes=1 << 60))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(endless)])
    try:
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        until(lambda: children.read_text().strip(), "the child")
        child = int(children.read_text())
        until(
            lambda: "NoNewPrivs:\t1" in Path(f"/proc/{child}/status").read_text(),
            "its confinement",
        )
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    until(lambda: not Path(f"/proc/{child}").exists(), "the end of the child")
