"""Apps that files name: a Procfile, static files, a script to start with.  Pure."""

from __future__ import annotations

import re
import shlex

from gapless.config.detect import javascript
from gapless.config.detect.facts import Draft, Facts, Found, Line

_LINE = re.compile(r"^([A-Za-z0-9_-]{1,40}):[ \t]*(\S.*)$", re.MULTILINE)
_SHELL = re.compile(r"[&|;<>$`()*?\\{}~\[\]]|^\w+=")
_PAGES = tuple(
    f"{folder}index.html"
    for folder in ("dist/", "build/", "public/", "_site/", "site/", "www/", "")
)
_DECLARATIONS = (
    *(f"ecosystem.config.{ending}" for ending in ("js", "cjs", "mjs", "json")),
    *("ecosystem.json", "pm2.json", "process.json", "app.json"),
    *("ecosystem.config.yml", "ecosystem.config.yaml", "pm2.yml", "process.yml"),
)


def pm2(facts: Facts) -> str:
    """Return the file that declares apps for PM2; empty if there is none."""
    for file in _DECLARATIONS:
        if re.search(r"""["']?(apps|script)["']?\s*:""", facts.head(file)):
            return file
    return ""


def procfile(facts: Facts) -> Found | None:
    """Return an app for each line of a Procfile."""
    lines = dict(_LINE.findall(facts.head("Procfile")))
    release = lines.pop("release", "")
    if not lines:
        return None
    port = facts.port or 5000
    apps = []
    for name, line in lines.items():
        is_web = name == "web"
        apps.append(
            Draft(
                name=facts.name if is_web else f"{facts.name}-{name}",
                command=_words(line),
                environment={"PORT": port} if is_web or "$PORT" in line else {},
                lines=_kept(facts, is_web=is_web),
            )
        )
    remarks = (
        f"`release: {release}` runs once for each release: write it as before_flip",
    )
    return Found(
        kind="a Procfile",
        why=f"it has {', '.join(lines)}",
        apps=tuple(apps),
        port=f"PORT, {port}" if "web" in lines else "",
        remarks=remarks if release else (),
    )


def _kept(facts: Facts, *, is_web: bool) -> tuple[Line, ...]:
    found = []
    if ".env" in facts.files:
        found.append(Line(text='environment_file = ".env"', why="as foreman reads it"))
    if not is_web:
        text = "stop = { kill_timeout_s = 600 }"
        why = "as long as its longest job may take after the signal"
        found.append(Line(text=text, why=why, is_active=False))
    return tuple(found)


def _words(line: str) -> tuple[str, ...]:
    """Return a line as words; by a shell, if it needs one."""
    if not _SHELL.search(line):
        try:
            return tuple(shlex.split(line))
        except ValueError:
            pass
    is_one = not re.search(r"[&|;()]|^\w+=", line)
    return ("sh", "-c", f"exec {line}" if is_one else line)


def static(facts: Facts) -> Found | None:
    """Return the static files of a directory."""
    page = facts.first(_PAGES)
    if not page:
        return None
    port = str(facts.port or 8080)
    root = page.rpartition("/")[0] or "."
    builds = javascript.built(facts)
    listing = ("python3", "-m", "http.server", port, "--bind", "127.0.0.1")
    return Found(
        kind="static files",
        why=f"{page} is there",
        apps=(
            Draft(
                name=facts.name,
                command=(*listing, "--directory", root),
                lines=(
                    Line(
                        text="",
                        why=f"or, with passwords: `gapless serve {root}`",
                    ),
                ),
            ),
        ),
        port=f"127.0.0.1:{port}",
        remarks=(f"`{builds}` makes these files",) if builds else (),
    )


def script(facts: Facts) -> Found | None:
    """Return the script that a directory is started with."""
    file = facts.first(("start.sh", "run.sh", "serve.sh", "server.sh", "bin/start"))
    if not file:
        return None
    return Found(
        kind="a script",
        why=f"{file} is there",
        apps=(
            Draft(
                name=facts.name,
                command=("bash", file),
                lines=(Line(text="", why="its last line should begin with `exec`"),),
            ),
        ),
    )
