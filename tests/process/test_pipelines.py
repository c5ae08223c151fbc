"""The pipelines in examples/pipelines do what they say: push, wait, ask, roll back."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gapless.cli.verbs import parsers
from rig.background import BackgroundProcess
from rig.hosts.host import GAPLESS, ROOT, Host
from rig.programs.sshd import Sshd
from rig.wait import answers, free_port, until

EXAMPLE = ROOT / "examples" / "pipelines"
CONFIG = """
[release.shop]
base = "dfs"
build = []

[app.shop]
command = ["node", "index.js"]
directory = "dfs/dist/shop"
environment = {{ PORT = {port} }}
ready = {{ http = "/health" }}
min_healthy_s = 0.5
"""


def read(name: str) -> Any:
    """Return a pipeline, parsed."""
    return YAML(typ="safe").load(io.StringIO((EXAMPLE / name).read_text()))


def github() -> dict[str, str]:
    """Return the commands of the steps, by name."""
    steps = read("github-actions.yml")["jobs"]["release"]["steps"]
    return {each["name"]: each["run"] for each in steps if "run" in each}


def gitlab(job: str) -> str:
    """Return the commands of a job; lists in the list are those of an anchor."""
    flat: list[str] = []
    for each in read("gitlab-ci.yml")[job]["script"]:
        flat += each if isinstance(each, list) else [each]
    return "\n".join(flat)


def test_every_command_of_a_pipeline_is_one_of_gapless() -> None:
    """Its options are known to the parser."""
    texts = ["\n".join(github().values()), gitlab("release"), gitlab("rollback")]
    texts += [read(f"{name}.yml")[key]["ROLLBACK"] for name, key in KEYS.items()]
    found = 0
    for line in "\n".join(texts).splitlines():
        words = shlex.split(line.strip())
        if words[:1] == ["gapless"]:
            parser = parsers.parser(words[1], parsers.module(words[1]))
            assert parser is not None
            parser.parse_args(words[2:])
            found += 1
    assert found == 4


KEYS = {"github-actions": "env", "gitlab-ci": "variables"}
Run = Callable[[str], subprocess.CompletedProcess[str]]


class Pipeline:
    """A project, and the release server that it pushes to."""

    def __init__(self, host: Host, sshd: Sshd) -> None:
        self.host, self.sshd, self.port = host, sshd, free_port()
        self.project = host.directory / "project"
        self.base = host.directory / "dfs"
        self.project.mkdir()
        for name in ("index.js", "VERSION"):
            (self.project / name).write_text((EXAMPLE / name).read_text())
        host.configure(CONFIG.format(port=self.port))
        for name in ("src", "dist"):
            (self.base / name).mkdir(parents=True)
        home = f"GAPLESS_HOME={shlex.quote(str(host.home))}"
        self.environment = host.environment | {
            "PATH": f"{GAPLESS.parent}:{host.environment['PATH']}",
            "RELEASE_TO": sshd.to(self.base),
            "RELEASE_PORT": str(sshd.port),
            "PAGE": f"http://127.0.0.1:{self.port}/",
            "ROLLBACK": f"{home} {GAPLESS} rollback shop -c {host.directory}/gapless.toml",
            "RUNNER_TEMP": str(host.directory / "temporary"),
            "GITHUB_ENV": str(host.directory / "github-env"),
        }

    def run(self, commands: str, **more: str) -> int:
        """Run commands as a runner does; return the exit code."""
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", commands],
            cwd=self.project,
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        print(done.stdout, done.stderr)
        return done.returncode

    def serves(self) -> str:
        """Return the version of the release that is current."""
        return (self.base / "dist" / "shop" / "VERSION").read_text().strip()

    def change(self, version: str) -> None:
        """Commit another version."""
        (self.project / "VERSION").write_text(f"{version}\n")


@pytest.fixture
def pipeline(host: Host) -> Iterator[Pipeline]:
    """Return a pipeline whose release server watches, and serves the first version."""
    sshd = Sshd(host.directory / "ssh").start()
    watch = BackgroundProcess(host.directory / "watch.log")
    made = Pipeline(host, sshd)
    try:
        host.ok("push", made.project, "--app", "shop", "--to", made.base)
        host.ok("watch", "--once")
        host.ok("start", "gapless.toml")
        until(lambda: answers(made.port), "the first version")
        host.start_in_background(watch, "watch")
        yield made
    finally:
        watch.kill()
        sshd.close()


def key_of(pipeline: Pipeline) -> tuple[Path, Path]:
    """Return the private key of the pusher, and what it knows of the server."""
    return pipeline.sshd.directory / "user_key", pipeline.sshd.known_hosts


@pytest.mark.soak
def test_github_actions(pipeline: Pipeline) -> None:
    """A good version is there when the job ends, one without a page is taken back."""
    steps = github()
    key, known = key_of(pipeline)
    secrets = {"RELEASE_KEY": key.read_text(), "RELEASE_HOST_KEY": known.read_text()}
    assert pipeline.run(steps["Keys"], **secrets) == 0
    written = Path(pipeline.environment["GITHUB_ENV"]).read_text().strip()
    pipeline.environment |= dict([written.split("=", 1)])
    push = steps["Push, and wait until every host runs it"]
    pipeline.change("2")
    assert pipeline.run(push) == 0
    assert pipeline.run(steps["Ask for the page"]) == 0
    pipeline.change("3 broken")
    assert pipeline.run(push) == 0
    page = steps["Ask for the page"].replace("--retry 5", "--retry 0")
    assert pipeline.run(page) != 0
    assert pipeline.serves() == "3 broken"
    assert pipeline.run(steps["Roll back"]) == 0
    assert pipeline.serves() == "2"


@pytest.mark.soak
def test_gitlab(pipeline: Pipeline) -> None:
    """The same in one job; and by hand once more."""
    key, known = key_of(pipeline)
    os.chmod(key, 0o644)  # as GitLab writes it
    pipeline.environment |= {"RELEASE_KEY": str(key), "RELEASE_HOST_KEY": str(known)}
    job = gitlab("release").replace("--retry 5", "--retry 0")
    pipeline.change("2")
    assert pipeline.run(job) == 0
    pipeline.change("3 broken")
    assert pipeline.run(job) == 1
    assert pipeline.serves() == "2"
    assert pipeline.run(gitlab("rollback")) == 0
    assert pipeline.serves() == "1"
