"""Read the files that PM2 reads: JSON as people write it, YAML, and JavaScript.

What a JavaScript file exports only node can tell; it is run once for each reading.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import json5
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from gapless.base import paths
from gapless.base.errors import MisuseError, NotFoundError

NODE_S = 20.0
"""How long a configuration may take to compute."""
STDIN = "-"
_SCRIPTS = (".config.js", ".config.cjs", ".config.mjs")
_YAML = (".yml", ".yaml")
# What the file prints goes to standard error; the answer has a descriptor of its own.
_ASK_NODE = """
console.log = console.info = console.error;
import(require('node:url').pathToFileURL(process.argv[1]).href).then((module) => {
  const found = 'default' in module ? module.default : module;
  const answer = JSON.stringify(found === undefined ? null : found);
  require('node:fs').writeSync(Number(process.argv[2]), answer || 'null');
}).catch((error) => {
  console.error(error && error.stack || error);
  process.exit(1);
});
"""


def is_declaration(path: str) -> bool:
    """Tell whether PM2 would read a file of this name for declarations."""
    name = os.path.basename(path)
    return (
        path == STDIN
        or ".json" in name
        or name.endswith(_YAML)
        or any(ending in name for ending in _SCRIPTS)
    )


def read(path: str, *, shown: str = "") -> Any:
    """Return what a file holds, as plain data; `-` is standard input.

    *shown* is what complaints call it.  Raises NotFoundError, MisuseError.
    """
    shown = shown or path
    if path == STDIN:
        return _loose_json(sys.stdin.read(), "standard input")
    if any(ending in os.path.basename(path) for ending in _SCRIPTS):
        return _ask_node(path, shown)
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {shown}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise MisuseError(f"could not read {shown}: {error}") from error
    if path.endswith(_YAML):
        return _yaml(text, shown)
    return _loose_json(text, shown)


def _loose_json(text: str, shown: str) -> Any:
    """Read JSON, with comments, trailing commas, unquoted keys (json5.org) if need be."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return json5.loads(text)
    except (ValueError, RecursionError) as error:
        reason = str(error).replace("<string>:", "line ", 1)
        raise MisuseError(
            f"{shown}: this is neither JSON nor JSON with comments: {reason}",
            hint="expressions of JavaScript are read in a .config.js file",
        ) from None


def _yaml(text: str, shown: str) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        reason = " ".join(str(error).split())
        raise MisuseError(f"{shown}: this is not YAML: {reason}") from None


def _ask_node(path: str, shown: str) -> Any:
    path = paths.absolute(path)
    if not os.path.isfile(path):
        raise NotFoundError(f"there is no file {shown}")
    read_end, write_end = os.pipe()
    try:
        with subprocess.Popen(
            ["node", "-e", _ASK_NODE, path, str(write_end)],
            stdin=subprocess.DEVNULL,
            stdout=2,
            stderr=subprocess.PIPE,
            pass_fds=(write_end,),
        ) as node:
            os.close(write_end)
            write_end = -1
            answer, said = _hear(node, read_end)
    except FileNotFoundError:
        raise MisuseError(
            f"{shown}: only node can read it, and there is no node in PATH",
            hint="install Node, or write the declaration as JSON, YAML or gapless.toml",
        ) from None
    finally:
        os.close(read_end)
        if write_end >= 0:
            os.close(write_end)
    if node.returncode != 0 or not answer:
        why = said.strip().splitlines()
        told = "\n".join(why[:8]) or f"node ended with code {node.returncode}"
        raise MisuseError(f"{shown}: node could not read it: {told}")
    return json.loads(answer)


def _hear(node: subprocess.Popen[bytes], read_end: int) -> tuple[bytes, str]:
    """Return the answer, and what was printed; an endless file is ended."""
    import threading  # noqa: PLC0415 - only for files that are programs

    pieces: list[bytes] = []

    def collect() -> None:
        while piece := os.read(read_end, 65536):
            pieces.append(piece)

    reader = threading.Thread(target=collect, daemon=True)
    reader.start()
    try:
        _, said = node.communicate(timeout=NODE_S)
    except subprocess.TimeoutExpired:
        node.kill()
        node.communicate()
        return b"", f"it did not come to an end within {NODE_S:g} s"
    reader.join(NODE_S)
    text = said.decode(errors="replace")
    if node.returncode == 0:
        sys.stderr.write(text)
    return b"".join(pieces), text
