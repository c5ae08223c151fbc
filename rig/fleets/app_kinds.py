"""The apps that a fleet of the rig may run, and how a release of each is packed.

The text of a version says what the release does: "3", "3 broken" (it cannot start), "3 sick
1.5" (its /health fails after 1.5 s), "3 late 2" (it listens after 2 s), "3 ends 1.5 0" (it
ends with code 0, 1.5 s after it listened), "3 job 1.5 0" (the same without listening).  The
last two are known to the kind `node` alone.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

from rig.hosts.host import APPS, ROOT, SERVERS
from rig.programs import npm

APP = "example"
ARTICLE = ROOT / "examples" / "article"
BROKEN = "throw new Error('this release is broken');\n"
BUILD = "if [ -e build.sh ]; then . ./build.sh; fi"
"""A release may bring the script of its build: a slow one, or one that fails."""
MORE_ROUTES = """
const fs = require('fs');
const [version] = fs.readFileSync(`${__dirname}/VERSION`, 'utf8').trim().split(' ');
app.use((req, res, next) => {
  res.set('X-Release', `release ${version}`);
  res.set('X-Instance', `${process.env.HOST_NAME} ${process.pid}`);
  next();
});
app.get('/health', (req, res) => res.send('ok'));
app.post('/echo', express.raw({ limit: '1mb', type: () => true }), (req, res) => {
  fs.appendFileSync(process.env.LEDGER, `${req.get('X-Request-Number')}\\n`);
  setTimeout(() => res.send(req.body), 10);
});
"""
"""Routes for the article's app, so that it names its version and counts each POST."""
UVICORN = [str(SERVERS / "python"), "-m", "uvicorn", "--no-access-log"]


class AppKind:
    """A program of one file that is declared in the fleet's gapless.toml."""

    build = BUILD
    declared_by_release = False
    """Its release brings an app.json, and each host starts it by hand, through a link."""

    def __init__(self, source: str, name: str, command: list[str]) -> None:
        self._source, self._name, self.command = source, name, command

    def prepare(self, directory: Path) -> None:
        """Install what each release needs, once for a fleet."""

    def files(self, version: str) -> Mapping[str, bytes]:
        """Return the files of a release."""
        return {
            self._name: (APPS / self._source).read_bytes(),
            "VERSION": version.encode(),
        }


class ArticleApp(AppKind):
    """The article's example with its own app.json, with or without more routes.

    With more routes it has a cwd as well.  Without a cwd PM2 resolves the link at the first
    start, and every restart runs that release again.
    Its logs go below the fleet's own www/ in the place of /var/www.  node_modules is
    installed once, and each release has a symlink to it.
    """

    declared_by_release = True

    def __init__(self, *, more_routes: bool) -> None:
        super().__init__("", "index.js", ["node", "index.js"])
        self._more_routes = more_routes
        self._www = Path("/var/www")
        self.more: dict[str, object] = {}
        """Fields that are added to app.json, or replace its own."""

    def prepare(self, directory: Path) -> None:
        """Choose where the logs go, and what the build of a release links to."""
        self._www = directory / "www"
        self.build = f"{BUILD}\nln -s {npm.node_modules(ARTICLE)} ."

    def files(self, version: str) -> Mapping[str, bytes]:
        """Return the example's files, changed as the version says."""
        index = (ARTICLE / "index.js").read_text()
        if self._more_routes:
            before, last = index.rsplit("app.get('/'", 1)
            index = f"{before}{MORE_ROUTES}app.get('/'{last}"
        if "broken" in version:
            index = BROKEN + index
        text = (ARTICLE / "app.json").read_text().replace("/var/www", str(self._www))
        declared = json.loads(text)
        if self._more_routes:
            declared["cwd"] = str(self._www / APP)
        return {
            "index.js": index.encode(),
            "app.json": json.dumps(declared | self.more, indent=2).encode(),
            "package.json": (ARTICLE / "package.json").read_bytes(),
            "package-lock.json": (ARTICLE / "package-lock.json").read_bytes(),
            "VERSION": version.encode(),
        }


def app_kind(name: str) -> AppKind:
    """Return a kind of app by its name: node, python, article or article-post."""
    if name == "python":
        command = [*UVICORN, "--host", "{host}", "--port", "{port}", "app:app"]
        return AppKind("fleet_app.py", "app.py", command)
    if name.startswith("article"):
        return ArticleApp(more_routes=name == "article-post")
    assert name == "node", f"there is no kind {name!r} of app"
    return AppKind("fleet_app.js", "index.js", ["node", "index.js"])


def pack(path: Path, files: Mapping[str, bytes]) -> Path:
    """Pack files into a tarball with one directory at its top, as uploads are."""
    with tarfile.open(path, "w:gz") as archive:
        top = tarfile.TarInfo(APP)
        top.type, top.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(top)
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{APP}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path
