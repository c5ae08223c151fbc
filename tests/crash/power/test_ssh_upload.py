"""Power is lost on the release server at any moment of an upload by ssh."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from gapless.push import ssh_scripts
from gapless.releases.inbox import checksums
from rig.power import moments
from rig.power.recording import Moment, Recording

CONTENT, SIGNATURE = b"a release\n" * 1000, "a signature\\n"
NAME = "shop-1.tar.gz"
RUN = 'input=$1; shift; cat "$input" | "$@"'
OLD_SYNC = "#!/bin/sh\ntest $# = 0 && exec {} || exit 1\n"


@pytest.mark.parametrize("signature", ["", SIGNATURE], ids=["unsigned", "signed"])
@pytest.mark.parametrize("is_old", [False, True], ids=["sync FILE", "sync"])
def test_what_has_arrived_is_there_after_a_loss_of_power(
    tmp_path: Path, signature: str, *, is_old: bool
) -> None:
    """Content, checksum, signature and their names; also if `sync` takes no file."""
    base, beside, sent = (tmp_path / name for name in ("disk", "beside", "sent"))
    base.mkdir()
    beside.mkdir()
    sent.write_bytes(CONTENT)
    programs = tmp_path / "programs"
    programs.mkdir()
    if is_old:
        (programs / "sync").write_text(OLD_SYNC.format("/bin/sync"))
        (programs / "sync").chmod(0o755)
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
    digest = hashlib.sha256(CONTENT).hexdigest()
    words = [str(base), NAME, str(len(CONTENT)), digest, signature]
    recording = Recording(base, beside, environment)
    try:
        upload = ["sh", "-c", ssh_scripts.UPLOAD, "gapless", *words]
        argv = ["sh", "-c", RUN, "sh", str(sent), *upload]
        code, output = recording.run(argv, directory=tmp_path)
    finally:
        recording.end()
    assert (code, output) == (0, f"{ssh_scripts.ARRIVED.decode()}\n")
    path = base / "src" / NAME
    signed = path.with_name(f"{NAME}.sig")

    def check(moment: Moment) -> list[str]:
        if not path.exists():
            return ["it has arrived, and is not there"] if moment.done else []
        wrong = [] if path.read_bytes() == CONTENT else ["it is not what was sent"]
        if (checksums.expected(str(path)) or ("", ""))[1] != digest:
            wrong.append("its checksum is not there")
        if signature and not (
            signed.exists() and signed.read_text() == "a signature\n"
        ):
            wrong.append("its signature is not there")
        return wrong

    faults = moments.faults(recording, check, most=0, is_short=False)
    assert not faults, "\n".join(faults)
