"""Apps of Node and bun: what package.json starts, or a script by its name.  Pure."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from gapless.config.detect.facts import Draft, Facts, Found, Line, ready, variables

PORT = 3000
_SCRIPTS = tuple(
    f"{folder}{name}.{ending}"
    for folder in ("", "src/", "dist/", "build/")
    for name in ("index", "server", "app", "main")
    for ending in ("js", "mjs", "cjs")
)
_SHELL = re.compile(r"[&|;<>$`()*?\\]|\bnpm\b|\byarn\b|\bpnpm\b|\bnpx\b|\bcross-env\b")
_FALLS_BACK = re.compile(
    r"process\.env\.PORT\s*(?:\|\||\?\?)\s*(?:Number\()?[\"']?(\d{2,5})"
)
_LISTENS = re.compile(r"\.listen\(\s*(\d{2,5})\b")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_FOR_DEVELOPMENT = ("react-scripts", "vite", "vue-cli-service", "ng", "parcel")
_SERVE_LATE = ("next", "nuxt", "remix-serve", "nest")
_STANDALONE = (".next/standalone/server.js", ".output/server/index.mjs")


def app(facts: Facts) -> Found | None:
    """Return the app of a package.json, or a script."""
    package = _package(facts)
    if package is None:
        return _script(facts, "", {})
    dependencies = _table(package, "dependencies")
    scripts = _table(package, "scripts")
    if script := facts.first(_STANDALONE):
        return _found(facts, ("node", script), {}, f"{script} is built", dependencies)
    for name in ("start:prod", "start"):
        started = scripts.get(name)
        if isinstance(started, str) and started.strip():
            command, environment = _command(name, started, dependencies)
            if command[0].removeprefix("node_modules/.bin/") in _FOR_DEVELOPMENT:
                return None  # its build is static files
            why = f'package.json has "{name}": "{started}"'
            return _found(facts, command, environment, why, dependencies)
    main = package.get("main")
    named = main if isinstance(main, str) and main in facts.files else ""
    if not named and facts.first(("bun.lock", "bun.lockb", "bunfig.toml")):
        names = (package.get("module"), "index.ts", "server.ts", "src/index.ts")
        if script := facts.first(str(each) for each in names):
            return _found(
                facts, ("bun", script), {}, f"{script} is there", dependencies
            )
    return _script(facts, named, dependencies)


def deno(facts: Facts) -> Found | None:
    """Return what a task of Deno starts, or a file that Deno serves."""
    file = facts.first(("deno.json", "deno.jsonc"))
    tasks = _table(_json(facts, file) or {}, "tasks")
    for name in ("start", "serve"):
        words = tasks.get(name)
        if isinstance(words, str) and words.strip():
            command: tuple[str, ...] = ("deno", "task", name)
            if not _SHELL.search(words) and words.split()[0] == "deno":
                command = tuple(words.split())
            return _found(facts, command, {}, f'{file} has "{name}": "{words}"', {})
    for script in facts.matching(r"(src/)?(main|server|index|app|mod)\.(ts|js|mjs)"):
        if "Deno.serve(" in facts.head(script):
            command = ("deno", "run", "--allow-net", "--allow-env", script)
            return _found(facts, command, {}, f"{script} calls Deno.serve", {})
    return None


def built(facts: Facts) -> str:
    """Return the command that builds static files; empty if there is none."""
    package = _package(facts) or {}
    return "npm run build" if "build" in _table(package, "scripts") else ""


def _script(facts: Facts, named: str, dependencies: dict[str, Any]) -> Found | None:
    script = named or facts.first(_SCRIPTS)
    if not script or not re.search(
        r"\blisten\b|\bserve\b|express|fastify|koa|hono|require\(|import ",
        facts.head(script),
    ):
        return None
    why = f"package.json has main: {script}" if named else f"{script} is there"
    return _found(facts, ("node", script), {}, why, dependencies)


def _found(
    facts: Facts,
    command: tuple[str, ...],
    environment: dict[str, str | int],
    why: str,
    dependencies: dict[str, Any],
) -> Found:
    script = next((word for word in command[1:] if word in facts.files), "")
    files = [script, *facts.matching(r"(src/|lib/|dist/)?\w+\.(js|mjs|cjs|ts)")]
    port, own = _port(facts, files)
    late = command[0].removeprefix("node_modules/.bin/") in _SERVE_LATE
    if not own and (late or command[0] == "npm" or script in _STANDALONE):
        own, port = {"PORT": facts.port or PORT}, f"PORT, {facts.port or PORT}"
    is_ready = ready(facts, [script] if script else files)
    if late and not is_ready.is_active:
        is_ready = Line(text='ready = { http = "/" }', why="it listens early")
    lines = (is_ready, *variables(facts, loads_itself="dotenv" in dependencies))
    if command[0] == "npm":
        why_npm = "npm runs it; better is the program itself, as in its script"
        lines = (Line(text="", why=why_npm), *lines)
    is_missing = dependencies and not any(
        each.startswith("node_modules/") for each in facts.files
    )
    lock = facts.first(
        ("package-lock.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb")
    )
    by_lock = {"yarn.lock": "yarn", "pnpm-lock.yaml": "pnpm"}
    by_lock |= {"bun.lock": "bun", "bun.lockb": "bun"}
    install = "npm ci" if lock else "npm install"
    install = f"{by_lock[lock]} install" if lock in by_lock else install
    return Found(
        kind={"deno": "Deno", "bun": "Bun"}.get(command[0]) or _kind(dependencies),
        why=why,
        apps=(
            Draft(
                name=_name(facts),
                command=command,
                environment={**environment, **own},
                lines=lines,
            ),
        ),
        port=port,
        first=(install,) if is_missing else (),
    )


def _port(facts: Facts, files: list[str]) -> tuple[str, dict[str, str | int]]:
    """Return where the app listens, in words, and the variable that says so."""
    text = "\n".join(facts.head(each) for each in files if each)
    if "process.env.PORT" in text or "env.PORT" in text:
        found = _FALLS_BACK.search(text)
        port = facts.port or int(found[1] if found else PORT)
        return f"PORT, {port}", {"PORT": port}
    found = _LISTENS.search(text)
    return (found[1] if found else ""), {}


def _command(
    name: str, started: str, dependencies: dict[str, Any]
) -> tuple[tuple[str, ...], dict[str, str | int]]:
    """Return the words of a script of package.json, and its variables."""
    by_npm = ("npm", "start") if name == "start" else ("npm", "run", name)
    try:
        words = shlex.split(started)
    except ValueError:
        words = []
    environment: dict[str, str | int] = {}
    while words and (found := _ASSIGNMENT.fullmatch(words[0])):
        environment[found[1]] = found[2]
        del words[0]
    if not words or _SHELL.search(started):
        return by_npm, {}
    if words[0] in ("node", "bun", "deno"):
        return tuple(words), environment
    known = {"next": "next", "nuxt": "nuxt", "nest": "@nestjs/cli", "tsx": "tsx"}
    if known.get(words[0], words[0]) in dependencies or words[0] in _FOR_DEVELOPMENT:
        return (f"node_modules/.bin/{words[0]}", *words[1:]), environment
    return by_npm, {}


def _kind(dependencies: dict[str, Any]) -> str:
    for package, name in {
        "next": "Next.js",
        "nuxt": "Nuxt",
        "@nestjs/core": "NestJS",
        "fastify": "Fastify",
        "express": "Express",
        "koa": "Koa",
        "hono": "Hono",
    }.items():
        if package in dependencies:
            return f"Node with {name}"
    return "Node"


def _name(facts: Facts) -> str:
    name = (_package(facts) or {}).get("name")
    return name.rpartition("/")[2] if isinstance(name, str) and name else facts.name


def _package(facts: Facts) -> dict[str, Any] | None:
    return _json(facts, "package.json")


def _json(facts: Facts, file: str) -> dict[str, Any] | None:
    if file not in facts.heads:
        return None
    try:
        found = json.loads(facts.head(file))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _table(package: dict[str, Any], key: str) -> dict[str, Any]:
    found = package.get(key)
    return found if isinstance(found, dict) else {}
