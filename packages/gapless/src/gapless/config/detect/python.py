"""Apps in Python: Django, ASGI, WSGI, and programs that serve by themselves.  Pure."""

from __future__ import annotations

import os
import re

from gapless.config.detect.facts import Draft, Facts, Found, Line, ready, variables

PORT = 8000
_ASGI = r"(?:FastAPI|Starlette|Litestar|Quart|Sanic|BlackSheep|FastHTML)"
_WSGI = r"(?:Flask|Bottle|App|Pyramid|Dash)"
_ASSIGNED = r"^(?P<name>\w+)\s*(?::\s*[\w.]+\s*)?=\s*(?:[\w.]+\.)?"
_KINDS = (
    ("ASGI", re.compile(rf"{_ASSIGNED}{_ASGI}\(", re.MULTILINE)),
    ("ASGI", re.compile(r"^async def (?P<name>\w+)\(\s*scope\b", re.MULTILINE)),
    ("WSGI", re.compile(rf"{_ASSIGNED}{_WSGI}\(", re.MULTILINE)),
    ("WSGI", re.compile(r"^(?P<name>\w+)\s*=\s*get_wsgi_application\(", re.MULTILINE)),
    ("WSGI", re.compile(r"^def (?P<name>\w+)\(\s*environ\b", re.MULTILINE)),
)
_WSGI_PACKAGES = ("flask", "bottle", "falcon", "pyramid", "dash")
_FACTORY = re.compile(
    r"^def (?P<name>create_app|make_app|get_app)\(\s*\)", re.MULTILINE
)
_FACTORY_KIND = re.compile(rf"\b({_ASGI[3:-1]})\(")
_SERVES = re.compile(
    r"__main__|serve_forever|run_app\(|uvicorn\.run|app\.run\(|http\.server|"
    r"\brun\([^)]{0,400}\b(?:host|port)\s*=|from bottle import .{0,200}\brun\b|"
    r"bottle\.run\(|IOLoop\.(?:current|instance)\(\)\.start\("
)
_SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE["'],\s*["'](\w+)\.""")
_NAMES = ("app", "main", "asgi", "wsgi", "server", "application", "api", "web", "run")
_REQUIREMENTS = ("requirements.txt", "requirements.lock", "requirements.in")
_LOCKS = (*_REQUIREMENTS, "pyproject.toml", "uv.lock", "Pipfile")


def django(facts: Facts) -> Found | None:
    """Return a project of Django."""
    if "manage.py" not in facts.files:
        return None
    setting = _SETTINGS.search(facts.head("manage.py"))
    found = [each.split("/")[0] for each in facts.matching(r"\w+/(wsgi|asgi)\.py")]
    project = setting[1] if setting else (found or [""])[0]
    if not project:
        return None
    python = _python(facts)
    kinds = [k for k in ("WSGI", "ASGI") if f"{project}/{k.lower()}.py" in facts.files]
    address = f"127.0.0.1:{facts.port or PORT}"
    command: tuple[str, ...] = ()
    why = ""
    for kind in kinds:
        target = f"{project}.{kind.lower()}:application"
        command, why = _server(facts, kind, target)
        if command:
            break
    if not command:
        command = (*python, "manage.py", "runserver", "--noreload", address)
        why = "install gunicorn for production, and run `gapless init --force`"
    migrate = " ".join((*python, "manage.py", "migrate"))
    return Found(
        kind="Django",
        why=f"manage.py is there, the project is {project}",
        apps=(
            Draft(
                name=facts.name,
                command=command,
                lines=(
                    Line(text="", why=why),
                    ready(facts, facts.matching(r"\w+/urls\.py")),
                    *variables(facts),
                ),
            ),
        ),
        port=address,
        first=_first(facts, python),
        remarks=(
            "Migrations run once for each release: in [release.NAME] write "
            f'hooks = {{ before_flip = "{migrate}" }}',
        ),
    )


def served(facts: Facts) -> Found | None:
    """Return an application object, ASGI or WSGI, and the server that is there for it."""
    for file in _candidates(facts):
        text = facts.head(file)
        kind, name = _object(text)
        if not kind:
            continue
        module = file.removesuffix(".py").removesuffix("/__init__")
        environment = {}
        if module.startswith("src/"):
            module, environment = module.removeprefix("src/"), {"PYTHONPATH": "src"}
        target = f"{module.replace('/', '.')}:{name}"
        command, why = _server(facts, kind, target)
        address = f"127.0.0.1:{facts.port or PORT}"
        if not command and _SERVES.search(text):
            command, address = (*_python(facts), file), ""
            why = f"no server for {kind} is installed, so the file serves by itself"
        if not command:
            server = "uvicorn" if kind == "ASGI" else "gunicorn"
            command = _with_address(
                server, kind, (".venv/bin/python", "-m"), target, facts
            )
            why = f"install {server}: none is here"
        return Found(
            kind=kind,
            why=f"{file} has the {kind} application {name.removesuffix('()')}",
            apps=(
                Draft(
                    name=facts.name,
                    command=command,
                    environment=environment,
                    lines=(
                        Line(text="", why=why),
                        ready(facts, [file]),
                        *variables(facts),
                    ),
                ),
            ),
            port=address,
            first=_first(facts, command),
        )
    return None


def program(facts: Facts) -> Found | None:
    """Return a file that serves by itself."""
    for file in _candidates(facts):
        if _SERVES.search(facts.head(file)):
            python = _python(facts)
            return Found(
                kind="Python",
                why=f"{file} is a program",
                apps=(
                    Draft(
                        name=facts.name,
                        command=(*python, file),
                        environment=port_variable(
                            facts, file, r"environ\W+(?:get\W+)?"
                        ),
                        lines=(ready(facts, [file]), *variables(facts)),
                    ),
                ),
                first=_first(facts, python),
            )
    return None


def port_variable(facts: Facts, file: str, before: str) -> dict[str, str | int]:
    """Return PORT, if a file reads it, with the port that it falls back to."""
    found = re.search(
        rf"{before}PORT\b(?P<rest>.{{0,24}})", facts.head(file), re.DOTALL
    )
    if found is None:
        return {}
    number = re.search(r"\b\d{2,5}\b", found["rest"].partition("\n")[0])
    return {"PORT": facts.port or int(number[0] if number else PORT)}


def _object(text: str) -> tuple[str, str]:
    """Return the kind and the name of an application object; empty if there is none."""
    for kind, pattern in _KINDS:
        if found := pattern.search(text):
            is_unknown = "App(" in found[0] and not any(
                each in text.lower() for each in _WSGI_PACKAGES
            )
            if not is_unknown:
                return kind, found["name"]
    if found := _FACTORY.search(text):
        kind = "ASGI" if _FACTORY_KIND.search(text) else "WSGI"
        return kind, f"{found['name']}()"
    return "", ""


def _candidates(facts: Facts) -> list[str]:
    """Return files in which an application may be, the likeliest first."""
    found = facts.matching(r"(src/)?(\w+/){0,2}\w+\.py")

    def rank(path: str) -> tuple[bool, int, int, str]:
        stem = os.path.basename(path).removesuffix(".py")
        place = _NAMES.index(stem) if stem in _NAMES else len(_NAMES)
        return (place == len(_NAMES), path.count("/"), place, path)

    return sorted((each for each in found if "test" not in each), key=rank)


def _venv(facts: Facts) -> str:
    return facts.first((".venv/bin/python", "venv/bin/python", "env/bin/python"))


def _python(facts: Facts) -> tuple[str, ...]:
    """Return the interpreter: the one of the directory, or the one in PATH."""
    if found := _venv(facts):
        return (found,)
    return (".venv/bin/python",) if "uv.lock" in facts.files else ("python3",)


def _server(facts: Facts, kind: str, target: str) -> tuple[tuple[str, ...], str]:
    """Return the command of a server that is installed, and why it is that one."""
    servers = {
        "ASGI": ("uvicorn", "hypercorn", "granian"),
        "WSGI": ("gunicorn", "waitress-serve", "granian"),
    }[kind]
    venv = _venv(facts)
    for server in servers:
        package = server.removesuffix("-serve")
        if venv and f"{os.path.dirname(venv)}/{server}" in facts.files:
            command = _with_address(server, kind, (venv, "-m"), target, facts)
            return command, f"{server} is installed beside it"
        if not venv and _is_asked_for(facts, package):
            command = _with_address(
                server, kind, (".venv/bin/python", "-m"), target, facts
            )
            return command, f"{server} is in its requirements"
    if venv:
        return (), ""
    for server in servers:
        if server in facts.programs:
            command = _with_address(server, kind, (), target, facts)
            return command, f"{server} is in PATH"
    return (), ""


def _with_address(
    server: str, kind: str, before: tuple[str, ...], target: str, facts: Facts
) -> tuple[str, ...]:
    """Return the command by which a server serves a target on the port."""
    port = str(facts.port or PORT)
    program = server.removesuffix("-serve") if before else server
    is_factory = target.endswith("()") and server != "gunicorn"
    target = target.removesuffix("()") if is_factory else target
    address = {
        "uvicorn": ("--port", port, *(("--factory",) if is_factory else ())),
        "hypercorn": ("--bind", f"127.0.0.1:{port}"),
        "gunicorn": ("--bind", f"127.0.0.1:{port}", "--threads", "8"),
        "waitress-serve": (
            f"--listen=127.0.0.1:{port}",
            *(("--call",) if is_factory else ()),
        ),
        "granian": ("--port", port, *(("--factory",) if is_factory else ())),
    }[server]
    if server == "granian":
        address = ("--interface", kind.lower(), *address)
    return (*before, program, *address, target)


def _first(facts: Facts, command: tuple[str, ...]) -> tuple[str, ...]:
    """Return what has to be installed before the app can start."""
    if _venv(facts) or not command[0].startswith(".venv/"):
        return ()
    if "uv.lock" in facts.files:
        return ("uv sync --frozen",)
    listed = facts.first(_REQUIREMENTS)
    words = [f"-r {listed}"] if listed else []
    if not listed and "pyproject.toml" in facts.files:
        words = ["."]
    server = command[2] if command[1:2] == ("-m",) else ""
    if server and not _is_asked_for(facts, server):
        words.append(server)
    install = " ".join(words or ["."])
    return ("python3 -m venv .venv", f".venv/bin/pip install {install}")


def _is_asked_for(facts: Facts, package: str) -> bool:
    """Return whether the files of a project name a server."""
    asked = "\n".join(facts.head(each) for each in _LOCKS).lower()
    # fastapi[standard] installs uvicorn.
    return package in asked or (package == "uvicorn" and "fastapi[" in asked)
