"""An app's configuration with other ports, and other directories.  Pure.

Ports are changed where an app is told them: in variables, in `listen`, and in words of its
command that are a port by the option before them or by their form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from gapless.supervisor.memory.spec import AppSpec, Log, Renew

PORT = "PORT"
_PORT_OPTIONS = frozenset(
    (
        *("-p", "--port", "-b", "--bind", "-l", "--listen", "-a", "--addr"),
        *("--address", "-P", "--http-port", "--server.port", "-port", "-listen"),
        *("-addr", "-bind", "--http"),
    )
)
_VARIABLE = re.compile(r"(?:.*_)?(?:PORT|BIND|LISTEN|ADDR|ADDRESS)")
"""What a variable with a port in it is called."""
_PLACE = re.compile(r"(?P<before>(?:.*[:=])?)(?P<port>[1-9]\d{1,4})")
_AFTER_HOST = re.compile(
    r"(?:.*=)?(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._*-]*):[1-9]\d{1,4}"
)
"""HOST:PORT, also behind `--option=`."""
_OPTION = re.compile(r"(?P<option>--?[A-Za-z][\w.-]*)=.*")

_PATH = re.compile(
    r"(?P<before>(?:[^/=]*=)?(?:unix:(?://(?=/))?)?)(?P<path>/.*)", re.DOTALL
)

Ports = Mapping[int, int]
Paths = Mapping[str, str]
"""The places of directories: what is below the one moves to the other."""


def ports_of(spec: AppSpec) -> tuple[int, ...]:
    """Return the ports that an app is told, the most likely first."""
    found = [_port(spec.environment.get(PORT, ""))]
    found += [_port(address) for address in spec.listen]
    found += [_port(word) for word in _words_with_ports(spec.command)]
    found += [
        _port(value)
        for name, value in spec.environment.items()
        if name in spec.configured and _VARIABLE.fullmatch(name)
    ]
    return tuple(dict.fromkeys(each for each in found if each))


def port_of(address: str) -> int:
    """Return the port of an address as `list` shows it; 0 of a path or of UDP."""
    if address.startswith("udp:") or "/" in address:
        return 0
    return _port(address)


def _port(text: str) -> int:
    """Return the port at the end of a text; 0 if there is none."""
    found = _PLACE.fullmatch(text)
    number = int(found["port"]) if found else 0
    return number if number < 1 << 16 else 0


def _words_with_ports(command: Iterable[str]) -> list[str]:
    before, found = "", []
    for word in command:
        option = _OPTION.fullmatch(word)
        is_meant = option["option"] in _PORT_OPTIONS if option else False
        if is_meant or before in _PORT_OPTIONS or _AFTER_HOST.fullmatch(word):
            found.append(word)
        before = word
    return found


# --- the same app elsewhere -----------------------------------------------------------


def moved(spec: AppSpec, *, ports: Ports, paths: Paths) -> AppSpec:
    """Return a configuration with other ports, below other directories.

    Its logs, pid files and renewals are left out, and so is what it would wait for.
    """
    with_ports = set(_words_with_ports(spec.command))
    command = tuple(
        path_moved(_port_moved(word, ports) if word in with_ports else word, paths)
        for word in spec.command
    )
    environment = {
        name: _variable_moved(name, value, spec, ports=ports, paths=paths)
        for name, value in spec.environment.items()
    }
    own = set(spec.configured)
    if ports:  # with a variable's precedence over those of environment files
        told = _port(spec.environment.get(PORT, ""))
        environment[PORT] = str(ports.get(told) or next(iter(ports.values())))
        own.add(PORT)
    directory = path_moved(spec.directory, paths)
    return replace(
        spec,
        command=command,
        directory=directory,
        declared_directory=directory,
        environment=environment,
        configured=tuple(sorted(own)),
        environment_files=tuple(
            f"-{path_moved(each[1:], paths)}"
            if each.startswith("-")
            else path_moved(each, paths)
            for each in spec.environment_files
        ),
        listen=tuple(_port_moved(each, ports) for each in spec.listen),
        pid_file="",
        log=Log(
            format=spec.log.format,
            date_format=spec.log.date_format,
            by_instance=spec.log.by_instance,
        ),
        renew=Renew(),
        restart=replace(spec.restart, first=False),
        after=(),
        config_file="",
        arguments=(),
        autostart=True,
    )


def path_moved(text: str, paths: Paths) -> str:
    """Return a path where it is now; one that is below no directory of them stays.

    Behind `--option=` and `unix:` it is one too.
    """
    found = _PATH.fullmatch(text)
    if found is None:
        return text
    path = found["path"]
    for old, new in paths.items():
        if path == old or path.startswith(f"{old}/"):
            return found["before"] + new + path[len(old) :]
    return text


def _variable_moved(
    name: str, value: str, spec: AppSpec, *, ports: Ports, paths: Paths
) -> str:
    is_own = name in spec.configured
    if name == PORT or (is_own and _VARIABLE.fullmatch(name)):
        return path_moved(_port_moved(value, ports), paths)
    # A list of paths, as PATH is.
    return ":".join(path_moved(each, paths) for each in value.split(":"))


def _port_moved(text: str, ports: Ports) -> str:
    found = _PLACE.fullmatch(text)
    if found is None or int(found["port"]) not in ports:
        return text
    return f"{found['before']}{ports[int(found['port'])]}"
