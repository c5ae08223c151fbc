"""With `signers` who may write the inbox publishes nothing without a key.

ssh-keygen is the real one.  An upload that is refused was not opened: in most of these
tests it is no tarball at all, and that is never what it is refused for.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless.base import clock
from gapless.base.errors import ReleaseError, UnavailableError
from gapless.releases import (
    current,
    file_state,
    publish,
    publisher_lock,
    removal,
    reports,
)
from gapless.releases.inbox import claims, completeness
from gapless.releases.model import Limits, Release, ReleaseSpec
from gapless.releases.publisher import journal
from gapless.releases.signing import records, ssh_keygen
from gapless.releases.signing.statements import (
    MOST_NUMBER,
    ReleaseStatement,
    UploadStatement,
    read_upload,
)
from rig.programs.ssh_keys import SshKeys

APP = "example"
LIMITS = Limits()


class Inbox:
    """A release server whose app has `signers`: alice, and nobody else."""

    def __init__(self, directory: Path) -> None:
        self.keys = SshKeys(directory / "keys")
        self.base = directory / "base"
        for name in ("src", "dist"):
            (self.base / name).mkdir(parents=True)
        self.spec = ReleaseSpec(
            app=APP,
            base=str(self.base),
            build=(),
            signers=str(self.keys.signers("alice")),
        )
        self.steps: list[str] = []

    def put(self, content: bytes, signature: bytes | None) -> Path:
        """Put an upload and its signature into the inbox."""
        upload = self.base / "src" / f"{APP}.tar"
        upload.write_bytes(content)
        if signature is not None:
            Path(f"{upload}.sig").write_bytes(signature)
        return upload

    def signed(self, content: bytes, *, app: str = APP, name: str = "alice") -> bytes:
        """Return the signature of an upload."""
        return self.keys.sign(app, hashlib.sha256(content).hexdigest(), name)

    def publish(self, upload: Path) -> Release:
        """Make it a release."""
        with publisher_lock.hold(self.spec, lambda *_: None) as held:
            made = publish.make_release(
                held, str(upload), progress=lambda step, _: self.steps.append(step)
            )
            claims.finish(held)
            journal.drop(held)
        return made

    def refusal(self, upload: Path) -> str:
        """Return why an upload is refused; it was not opened, and is in refused/."""
        with pytest.raises(ReleaseError) as raised:
            self.publish(upload)
        assert "unpacked" not in self.steps
        assert not current.releases(self.spec)
        reason = self.base / "refused" / APP / f"{upload.name}.reason.txt"
        assert raised.value.message in reason.read_text()
        assert not upload.exists()
        assert not Path(f"{upload}.sig").is_file()
        assert "refused before it was opened" in raised.value.message
        return raised.value.message


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    """Make a release server."""
    return Inbox(tmp_path)


def tarball(text: str = "1") -> bytes:
    """Return a tarball with one file."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        member = tarfile.TarInfo("index.js")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text.encode()))
    return written.getvalue()


def test_what_a_signer_signed_is_published_and_its_signer_is_known(
    inbox: Inbox,
) -> None:
    """The name stands beside the release; nothing of the upload is left."""
    content = tarball()
    made = inbox.publish(inbox.put(content, inbox.signed(content)))
    assert (Path(made.path) / "index.js").read_text() == "1"
    assert records.signer_of(inbox.spec, made.name) == "alice@example"
    assert not [*(inbox.base / "src").iterdir()]
    assert inbox.steps.index("signed") < inbox.steps.index("unpacked")


def test_what_nobody_signed_is_refused(inbox: Inbox) -> None:
    """Whoever may write the inbox only offers."""
    assert "not signed" in inbox.refusal(inbox.put(b"no tarball", None))


@pytest.mark.parametrize("name", ["mallory"])
def test_what_a_stranger_signed_is_refused(inbox: Inbox, name: str) -> None:
    """A valid signature of a key that is not among the signers."""
    upload = inbox.put(b"x", inbox.signed(b"x", name=name))
    assert "its key is not, or not now, of one of the signers" in inbox.refusal(upload)


def test_a_signature_fits_no_other_bytes(inbox: Inbox) -> None:
    """The digest is that of the bytes that are unpacked."""
    upload = inbox.put(b"evil", inbox.signed(b"good"))
    assert "it is not what was signed" in inbox.refusal(upload)


def test_a_signature_fits_no_other_app(inbox: Inbox) -> None:
    """Apps may share an inbox, and signers."""
    upload = inbox.put(b"x", inbox.signed(b"x", app="another"))
    assert "signed for the app another" in inbox.refusal(upload)


def test_the_statement_cannot_be_rewritten(inbox: Inbox) -> None:
    """Neither the app nor the digest nor the time, with the signature kept."""
    signature = inbox.signed(b"x", app="another")
    forged = signature.replace(b"app another", f"app {APP}".encode())
    assert "its signature is not valid" in inbox.refusal(inbox.put(b"x", forged))


@pytest.mark.parametrize("namespace", ["git", "file", "gapless-release@gapless"])
def test_a_signature_for_another_purpose_is_refused(
    inbox: Inbox, namespace: str
) -> None:
    """A key that signs commits has not signed a release."""
    digest = hashlib.sha256(b"x").hexdigest()
    text = UploadStatement(
        app=APP, sha256=digest, signed_ns=int(clock.wall() * 1e9)
    ).text()
    key = str(inbox.keys.path("alice"))
    signed = ssh_keygen.sign(text, key, namespace, may_ask=False)
    assert "namespace does not match" in inbox.refusal(inbox.put(b"x", text + signed))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ('valid-before="20200101"', "key has expired"),
        ('valid-after="20990101"', "key is not yet valid"),
        ('namespaces="git"', "not permitted for use in signature namespace"),
    ],
)
def test_a_key_that_may_not_sign_this_now_is_refused(
    inbox: Inbox, options: str, why: str
) -> None:
    """What the file of signers says of a key counts, and the reason is told."""
    inbox.keys.signers("alice", options=options)
    message = inbox.refusal(inbox.put(b"x", inbox.signed(b"x")))
    assert why in message
    assert "/gapless-" not in message  # no path of a temporary file


def test_an_older_upload_is_not_taken_again(inbox: Inbox) -> None:
    """Neither the same one, nor one before it, also when its release is gone."""
    old, new = tarball("old"), tarball("new")
    older, newer = inbox.signed(old), inbox.signed(new)
    inbox.publish(inbox.put(new, newer))
    for content, signature in ((old, older), (new, newer)):
        with pytest.raises(ReleaseError, match="older one is not taken again"):
            inbox.publish(inbox.put(content, signature))
    (release,) = current.releases(inbox.spec)
    shutil.rmtree(release.path)
    shutil.rmtree(Path(inbox.spec.reports) / release.name)
    with pytest.raises(ReleaseError, match="older one is not taken again"):
        inbox.publish(inbox.put(old, older))
    inbox.publish(inbox.put(old, inbox.signed(old)))  # signed anew, by who has a key


def test_a_signature_of_the_future_does_not_keep_out_later_ones(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A laptop whose clock is wrong by a year."""
    now = clock.wall()
    monkeypatch.setattr(clock, "wall", lambda: now + 86_400 * 365)
    signature = inbox.signed(b"x")
    monkeypatch.setattr(clock, "wall", lambda: now)
    assert "still to come" in inbox.refusal(inbox.put(b"x", signature))


def test_an_upload_that_is_put_back_is_no_older_one(inbox: Inbox) -> None:
    """A publisher that dies, or is ended, before the release has its place."""
    content = tarball()
    upload = inbox.put(content, inbox.signed(content))

    def stop(step: str, _detail: str) -> None:
        if step == "unpacked":
            raise KeyboardInterrupt  # nothing is undone then, as when it is killed

    with (
        publisher_lock.hold(inbox.spec, lambda *_: None) as held,
        pytest.raises(KeyboardInterrupt),
    ):
        publish.make_release(held, str(upload), progress=stop)
    assert inbox.publish(upload)


@pytest.mark.parametrize("kind", ["fifo", "link", "loop", "folder", "huge", "zeros"])
def test_a_hostile_signature_file_costs_one_upload(
    inbox: Inbox, tmp_path: Path, kind: str
) -> None:
    """It is not waited for, not followed, and not read beyond its limit."""
    upload = inbox.put(b"x", None)
    at = Path(f"{upload}.sig")
    secret = tmp_path / "secret"
    secret.write_bytes(inbox.signed(b"x"))
    match kind:
        case "fifo":
            os.mkfifo(at)
        case "link":
            at.symlink_to(secret)
        case "loop":
            at.symlink_to(at)
        case "folder":
            at.mkdir()
        case "huge":
            with at.open("wb") as file:
                file.truncate(1 << 40)
        case _:
            at.write_bytes(bytes(1000))
    assert completeness.states_of(str(upload))
    message = inbox.refusal(upload)
    assert "its .sig file" in message
    assert secret.exists()


@pytest.mark.parametrize(
    "armored",
    [
        ssh_keygen.BEGIN + ssh_keygen.END,
        ssh_keygen.BEGIN + b"AAAA\n" + ssh_keygen.END,
        ssh_keygen.BEGIN + b"\x1b[2J\0\xff\n" + ssh_keygen.END,
        ssh_keygen.BEGIN + b"U1NIU0lHAAAAAf////8=\n" + ssh_keygen.END,
        2 * (ssh_keygen.BEGIN + ssh_keygen.END),
        b"",
    ],
)
def test_what_is_no_signature_is_refused(inbox: Inbox, armored: bytes) -> None:
    """ssh-keygen parses it, and its words reach no terminal raw."""
    digest = hashlib.sha256(b"x").hexdigest()
    text = UploadStatement(app=APP, sha256=digest, signed_ns=1).text()
    message = inbox.refusal(inbox.put(b"x", text + armored))
    assert message.isprintable()


def test_a_principal_is_never_an_option(inbox: Inbox) -> None:
    """Not even one that the file of signers names."""
    path = Path(inbox.spec.signers)
    path.write_text(path.read_text().replace("alice@example", "-Overify-time=1970"))
    inbox.refusal(inbox.put(b"x", inbox.signed(b"x")))


@pytest.mark.parametrize("fault", ["mode", "owner", "folder", "missing", "fifo"])
def test_signers_that_others_may_change_verify_nothing(
    inbox: Inbox, fault: str
) -> None:
    """It is no fault of the upload: it waits in the inbox, with its signature."""
    path = Path(inbox.spec.signers)
    match fault:
        case "mode":
            path.chmod(0o664)
        case "owner":
            os.chown(path, 65534, -1)
        case "folder":
            path.parent.chmod(0o777)
        case "missing":
            path.unlink()
        case _:
            path.unlink()
            os.mkfifo(path)
    content = tarball()
    upload = inbox.put(content, inbox.signed(content))
    with pytest.raises(UnavailableError, match="signers = ") as raised:
        inbox.publish(upload)
    assert raised.value.hint
    assert upload.exists()
    assert Path(f"{upload}.sig").exists()


def test_without_ssh_keygen_uploads_wait(
    inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is refused, nothing is published."""
    content = tarball()
    upload = inbox.put(content, inbox.signed(content))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="ssh-keygen is not installed"):
        inbox.publish(upload)
    assert upload.exists()


def test_nothing_is_opened_to_see_whether_it_is_complete(inbox: Inbox) -> None:
    """An archive is parsed after its signature; the digest in that is the checksum."""
    upload = inbox.put(b"not yet all", inbox.signed(b"not yet all of it"))
    state = file_state.state_of(str(upload))
    path = str(upload)
    complete, why = completeness.is_complete(path, state, LIMITS, is_signed=True)
    assert (complete, why) == (False, "it does not match its .sig file yet")
    upload.write_bytes(b"not yet all of it")
    state = file_state.state_of(path)
    assert completeness.is_complete(path, state, LIMITS, is_signed=True) == (True, "")


# --- the text that is signed --------------------------------------------------------------

NAMES = st.text(min_size=1, max_size=20)
DIGESTS = st.sampled_from(["0" * 64, "a" * 64, "A" * 64, "a" * 63, "", "a" * 64 + "\n"])
UPLOADS = st.builds(
    UploadStatement,
    app=st.sampled_from(["a", "a b", "a\nsha256 x", "-", "", "../a"]) | NAMES,
    sha256=DIGESTS,
    signed_ns=st.integers(-1, MOST_NUMBER + 1),
)
RELEASES = st.builds(
    ReleaseStatement,
    app=st.sampled_from(["app", "app-1", "a b"]),
    number=st.integers(-1, MOST_NUMBER + 1),
    release=st.sampled_from(
        ["app-20260101000000", "app-1-20260101000000", "a b-20260101000000", "../x"]
    ),
    tree=DIGESTS,
    previous=st.sampled_from(["", "-", "app-20250101000000", "app-20250101000000\n"]),
    previous_tree=DIGESTS,
    upload_signed_by=st.sampled_from(["", "-", "a@b", "a\nb", "a b", "-x"]) | NAMES,
)


def text_of(statement: UploadStatement | ReleaseStatement) -> bytes | None:
    """Return its text; None if it can have none."""
    try:
        return statement.text()
    except ValueError:
        return None


@given(UPLOADS)
def test_a_statement_that_is_read_is_the_one_that_was_written(
    statement: UploadStatement,
) -> None:
    """No name ends a line, so none says more than a name."""
    text = text_of(statement)
    if text is not None:
        assert read_upload(text) == statement
        assert text.count(b"\n") == 4


@given(
    st.binary(max_size=300)
    | st.builds(bytes.__add__, st.just(b"gapless upload 1\n"), st.binary())
)
def test_a_text_is_read_only_in_the_one_form(text: bytes) -> None:
    """What is read is written the same, and everything else is an error."""
    try:
        found = read_upload(text)
    except ValueError:
        return
    assert found.text() == text


@given(RELEASES, RELEASES)
def test_two_statements_of_releases_have_two_texts(
    one: ReleaseStatement, other: ReleaseStatement
) -> None:
    """One signature is good for one statement alone."""
    texts = text_of(one), text_of(other)
    if None not in texts:
        assert (texts[0] == texts[1]) == (one == other)


@given(UPLOADS, st.integers(0, 200), st.binary(min_size=1, max_size=3))
def test_a_changed_statement_is_another_or_none(
    statement: UploadStatement, at: int, change: bytes
) -> None:
    """Bytes that are put in anywhere: no other text means the same."""
    text = text_of(replace(statement, app="app", sha256="a" * 64)) or b""
    changed = text[:at] + change + text[at:]
    try:
        found = read_upload(changed)
    except ValueError:
        return
    assert changed != text
    assert found.text() == changed


def test_the_commands_of_the_spec_sign_an_upload(inbox: Inbox, tmp_path: Path) -> None:
    """Who signs without gapless signs the same text, in the same namespace."""
    spec = (Path(__file__).parents[2] / "spec" / "uploads.md").read_text()
    script = spec[spec.index("    printf") : spec.index("It has to be there")]
    script = script.replace("~/.ssh/id_ed25519", str(inbox.keys.path("alice")))
    (tmp_path / "shop.tar.gz").write_bytes(tarball())
    subprocess.run(("sh", "-ec", script), cwd=tmp_path, check=True)
    inbox.spec = replace(inbox.spec, app="shop")
    made = inbox.publish(tmp_path / "shop.tar.gz")
    assert records.signer_of(inbox.spec, made.name) == "alice@example"


def test_an_upload_whose_release_failed_and_was_removed_is_not_taken_again(
    inbox: Inbox,
) -> None:
    """Its release is gone after a rollback; that it was signed is remembered."""
    first, second = tarball("1"), tarball("2")
    current.flip(inbox.spec, inbox.publish(inbox.put(first, inbox.signed(first))))
    signature = inbox.signed(second)
    failed = inbox.publish(inbox.put(second, signature))
    reports.mark_failed(inbox.spec, failed, "it was never ready")
    assert removal.remove_superfluous(inbox.spec, frozenset())
    with pytest.raises(ReleaseError, match="an older one is not taken again"):
        inbox.publish(inbox.put(second, signature))
