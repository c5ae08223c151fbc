"""Apps in Ruby, PHP, Perl, Java, Go and Rust.  Pure."""

from __future__ import annotations

import dataclasses
import re
import tomllib

from gapless.config.detect.facts import Draft, Facts, Found, Line, ready, variables

_CHECKED_OUT = (
    "a release is built before it is uploaded, or by `build` in [release.NAME]"
)
_NO_JAR = re.compile(r"-(sources|javadoc|plain|tests)\.jar$|/original-")


def ruby(facts: Facts) -> Found | None:
    """Return an app of Rails or Rack, under puma or unicorn, or one of Sinatra."""
    if "config.ru" not in facts.files:
        return _sinatra(facts)
    is_rails = "config/application.rb" in facts.files
    gems = facts.head("Gemfile")
    bundled = "Gemfile" in facts.files and "bundle" in facts.programs
    before = ("bundle", "exec") if bundled else ()
    port = facts.port or (3000 if is_rails else 9292)
    environment: dict[str, str | int] = {}
    if is_rails:
        environment = {"RAILS_ENV": "production"}
    settings = facts.head("config/puma.rb")
    if "unicorn" in gems and "puma" not in gems:
        command = (*before, "unicorn", "-l", f"127.0.0.1:{port}", "config.ru")
    elif "PORT" in settings:
        command = (*before, "puma", "-C", "config/puma.rb")
        environment["PORT"] = port
    else:
        address = f"tcp://127.0.0.1:{port}"
        command = (*before, "puma", "-b", address, "config.ru")
    lines = [ready(facts, ("config/routes.rb", "config.ru")), *variables(facts)]
    if re.search(r"^[ \t]*pidfile\b", settings, re.MULTILINE):
        lines.insert(0, Line(text="", why="remove `pidfile` from config/puma.rb"))
    migrate = (
        "Migrations run once for each release: in [release.NAME] write "
        'hooks = { before_flip = "bin/rails db:migrate" }',
    )
    return Found(
        kind="Rails" if is_rails else "Rack",
        why="config.ru and config/application.rb are there"
        if is_rails
        else "config.ru is there",
        apps=(
            Draft(
                name=facts.name,
                command=command,
                environment=environment,
                lines=tuple(lines),
            ),
        ),
        port=f"127.0.0.1:{port}",
        remarks=migrate if is_rails else (),
    )


def _sinatra(facts: Facts) -> Found | None:
    """Return a file that Sinatra serves by itself."""
    for file in ("app.rb", "server.rb", "main.rb", "web.rb"):
        if not re.search(r"require ['\"]sinatra['\"]", facts.head(file)):
            continue
        port = facts.port or 4567
        bundled = "Gemfile" in facts.files and "bundle" in facts.programs
        command = (*(("bundle", "exec") if bundled else ()), "ruby", file)
        return Found(
            kind="Sinatra",
            why=f"{file} requires it",
            apps=(
                Draft(
                    name=facts.name,
                    command=(*command, "-e", "production", "-p", str(port)),
                    lines=(ready(facts, [file]), *variables(facts)),
                ),
            ),
            port=f"127.0.0.1:{port}",
        )
    return None


def php(facts: Facts) -> Found | None:
    """Return an app in PHP: php-fpm where its configuration is, else PHP's own server."""
    for file in facts.matching(r"(?:\w+/)?[\w.-]+\.conf"):
        text = facts.head(file)
        listens = re.search(r"^[ \t]*listen[ \t]*=[ \t]*(\S+)", text, re.MULTILINE)
        if listens and re.search(r"^[ \t]*pm[ \t]*=", text, re.MULTILINE):
            program = next(
                (each for each in sorted(facts.programs) if each.startswith("php-fpm")),
                "php-fpm",
            )
            return Found(
                kind="PHP-FPM",
                why=f"{file} has a pool that listens on {listens[1]}",
                apps=(
                    Draft(
                        name=facts.name,
                        command=(program, "--nodaemonize", "--fpm-config", file),
                    ),
                ),
                port=listens[1],
                remarks=("In its file: no `pid`, and process_control_timeout = 30s",),
            )
    page = facts.first(("public/index.php", "web/index.php", "index.php"))
    if not page:
        return None
    port = facts.port or 8000
    root = page.rpartition("/")[0] or "."
    return Found(
        kind="Laravel" if "artisan" in facts.files else "PHP",
        why=f"{page} is there",
        apps=(
            Draft(
                name=facts.name,
                command=("php", "-S", f"127.0.0.1:{port}", "-t", root),
                lines=(
                    Line(text="", why="PHP's own server: one request at a time"),
                    *variables(facts, loads_itself="artisan" in facts.files),
                ),
            ),
        ),
        port=f"127.0.0.1:{port}",
        remarks=(
            "For production php-fpm behind a web server: "
            'command = ["php-fpm", "--nodaemonize", "--fpm-config", "fpm.conf"]',
        ),
    )


def perl(facts: Facts) -> Found | None:
    """Return an app of PSGI, or a program in Perl."""
    for file in facts.matching(r"[\w-]+\.psgi"):
        port = facts.port or 5000
        program = "starman" if "starman" in facts.programs else "plackup"
        words = (
            ("-l", f"127.0.0.1:{port}") if program == "starman" else ("-p", str(port))
        )
        return Found(
            kind="PSGI",
            why=f"{file} is there",
            apps=(Draft(name=facts.name, command=(program, *words, file)),),
            port=f"127.0.0.1:{port}",
        )
    file = facts.first(f"{name}.pl" for name in ("app", "server", "main", "index"))
    if not file:
        return None
    found = re.search(r"\$ENV\{PORT\}[^\d\n]{0,20}(\d{2,5})?", facts.head(file))
    port = facts.port or int((found and found[1]) or 8080)
    return Found(
        kind="Perl",
        why=f"{file} is there",
        apps=(
            Draft(
                name=facts.name,
                command=("perl", file),
                environment={"PORT": port} if found else {},
                lines=(ready(facts, [file]),),
            ),
        ),
        port=f"PORT, {port}" if found else "",
    )


def java(facts: Facts) -> Found | None:
    """Return a jar, or the single file that the compiler can start."""
    project = facts.first(("pom.xml", "build.gradle", "build.gradle.kts"))
    jars = [
        each
        for each in facts.matching(r"(?:target/|build/libs/)?[^/]+\.jar")
        if not _NO_JAR.search(each) and "wrapper" not in each
    ]
    single = [
        each
        for each in facts.matching(r"\w+\.java")
        if "void main(" in facts.head(each)
    ]
    if not (jars or project or single):
        return None
    text = facts.head(project)
    is_spring = "spring-boot" in text or "springframework.boot" in text
    command: tuple[str, ...]
    if single and not (jars or project):
        command, why = ("java", single[0]), f"{single[0]} has a main method"
    else:
        jar = jars[0] if jars else "target/app.jar"
        if not jars and project != "pom.xml":
            jar = "build/libs/app.jar"
        command, why = ("java", "-jar", jar), f"{jar if jars else project} is there"
    lines = [ready(facts, single)]
    if "actuator" in text:
        path = "/actuator/health"
        lines = [Line(text=f'ready = {{ http = "{path}", timeout_s = 120 }}')]
    builds = "mvn package" if project == "pom.xml" else "gradle build"
    return Found(
        kind="Java with Spring Boot" if is_spring else "Java",
        why=why,
        apps=(
            Draft(
                name=facts.name,
                command=command,
                environment={"SERVER_PORT": facts.port or 8080} if is_spring else {},
                lines=tuple(lines),
            ),
        ),
        port=f"SERVER_PORT, {facts.port or 8080}" if is_spring else "",
        first=() if jars or not project else (builds,),
        remarks=() if jars or not project else ("The name of the jar is a guess",),
    )


def go(facts: Facts) -> Found | None:
    """Return the program that a Go module is built to."""
    if "go.mod" not in facts.files:
        return None
    found = re.search(r"^module\s+(\S+)", facts.head("go.mod"), re.MULTILINE)
    name = (found[1] if found else facts.name).rpartition("/")[2]
    if not facts.matching(r"\w+\.go"):
        below = {each.split("/")[1] for each in facts.matching(r"cmd/[\w-]+/\w+\.go")}
        if below:
            return _go_below(
                facts, sorted(below, key=lambda each: (each != name, each))
            )
    binary = _binary(facts, (name, f"bin/{name}", facts.name, "main", "server"))
    return _compiled(facts, "Go", "go.mod", binary or name, f"go build -o {name} .")


def _go_below(facts: Facts, names: list[str]) -> Found:
    """Return the first of the programs below `cmd/`."""
    name, *others = names
    binary = _binary(facts, (name, f"bin/{name}"))
    builds = f"go build -o {name} ./cmd/{name}"
    found = _compiled(facts, "Go", f"cmd/{name}", binary or name, builds)
    also = f"Also below cmd/: {', '.join(others)}"
    return dataclasses.replace(found, remarks=(also,) if others else ())


def rust(facts: Facts) -> Found | None:
    """Return the program that a crate is built to."""
    if "Cargo.toml" not in facts.files:
        return None
    try:
        table = tomllib.loads(facts.head("Cargo.toml")).get("package")
    except (ValueError, RecursionError):
        table = None
    name = table.get("name") if isinstance(table, dict) else None
    name = name if isinstance(name, str) and name else facts.name
    binary = f"target/release/{name}"
    return _compiled(facts, "Rust", "Cargo.toml", binary, "cargo build --release")


def binary(facts: Facts) -> Found | None:
    """Return the only program of the directory."""
    found = _binary(facts, ())
    return _compiled(facts, "a program", found, found, "") if found else None


def _binary(facts: Facts, names: tuple[str, ...]) -> str:
    """Return the program with one of the names, else the only one; empty if none."""
    for each in names:
        if each in facts.binaries:
            return each
    alone = [each for each in facts.binaries if re.fullmatch(r"(bin/)?[^/]+", each)]
    return alone[0] if len(alone) == 1 else ""


def _compiled(facts: Facts, kind: str, why: str, binary: str, builds: str) -> Found:
    sources = facts.matching(r"(src/|cmd/\w+/)?\w+\.(go|rs)")
    return Found(
        kind=kind,
        why=f"{why} is there",
        apps=(
            Draft(
                name=facts.name,
                command=(f"./{binary}",),
                lines=(
                    *((Line(text="", why=_CHECKED_OUT),) if builds else ()),
                    ready(facts, sources),
                ),
            ),
        ),
        first=() if binary in facts.binaries or not builds else (builds,),
    )
