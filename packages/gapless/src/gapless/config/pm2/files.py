"""Read the files that PM2 reads: JSON with comments, YAML and JavaScript.

A JavaScript file is run by node, once for each reading.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from gapless.base import codec, paths
from gapless.base.errors import MisuseError, NotFoundError
from gapless.base.outside.text import reason_of
from gapless.config.file_kinds import JAVASCRIPT, STDIN, YAML

NODE_TIMEOUT_S = 20.0
"""How long node may take to run a JavaScript file."""
# The file prints to standard error; what it exports is written to a pipe as JSON.
_EXPORT_SCRIPT = """
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


def read(
    path: str,
    *,
    display_name: str = "",
    environment: Mapping[str, str] | None = None,
) -> Any:
    """Return the content of a file as plain data; "-" is standard input.

    *display_name* is its name in messages.  A JavaScript file sees *environment*; by
    default that of this process.  Raises NotFoundError, MisuseError.
    """
    display_name = display_name or path
    content = _read(path, display_name, environment)
    try:
        codec.check_plain(content, display_name)
    except codec.WrongTypeError as error:
        raise MisuseError(str(error)) from None
    return content


def _read(path: str, display_name: str, environment: Mapping[str, str] | None) -> Any:
    if path == STDIN:
        return _loose_json(sys.stdin.read(), "standard input")
    if any(ending in os.path.basename(path) for ending in JAVASCRIPT):
        return _run_javascript(path, display_name, environment)
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except FileNotFoundError:
        raise NotFoundError(
            f"there is no file {display_name}",
            hint="`gapless init` writes a gapless.toml for what is in a directory",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise MisuseError(
            f"could not read {display_name}: {reason_of(error)}"
        ) from error
    if path.endswith(YAML):
        return _yaml(text, display_name)
    return _loose_json(text, display_name)


def _loose_json(text: str, display_name: str) -> Any:
    """Parse JSON, or JSON5: comments, trailing commas, unquoted keys (json5.org)."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    except RecursionError as error:
        raise MisuseError(f"{display_name}: this is not JSON: {error}") from None
    import json5  # noqa: PLC0415 - slow to load, and most files are plain JSON

    try:
        return json5.loads(text)
    except (ValueError, RecursionError) as error:
        reason = str(error).replace("<string>:", "line ", 1)
        raise MisuseError(
            f"{display_name}: this is neither JSON nor JSON with comments: {reason}",
            hint="expressions of JavaScript are read in a .config.js file",
        ) from None


def _yaml(text: str, display_name: str) -> Any:
    from ruamel.yaml import error, main  # noqa: PLC0415 - slow, and few files are YAML

    try:
        return main.YAML(typ="safe", pure=True).load(text)
    except error.YAMLError as found:
        reason = " ".join(str(found).split())
    except Exception as found:  # noqa: BLE001 - what it says of odd keys, dates and depths
        reason = str(found) or type(found).__name__
    raise MisuseError(f"{display_name}: this is not YAML: {reason}")


def _run_javascript(
    path: str, display_name: str, environment: Mapping[str, str] | None
) -> Any:
    path = paths.absolute(path)
    if not os.path.isfile(path):
        raise NotFoundError(f"there is no file {display_name}")
    read_end, write_end = os.pipe()
    try:
        with subprocess.Popen(
            ["node", "-e", _EXPORT_SCRIPT, path, str(write_end)],
            # Node does not start in a directory that was removed.
            cwd="/" if paths.is_gone() else None,
            stdin=subprocess.DEVNULL,
            # What it prints is escaped before a terminal gets it.
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(write_end,),
            env=environment,
        ) as node:
            os.close(write_end)
            write_end = -1
            exported, printed = _collect(node, read_end)
    except FileNotFoundError:
        raise MisuseError(
            f"{display_name}: only node can read it, and there is no node in PATH",
            hint="install Node, or write the declaration as JSON, YAML or gapless.toml",
        ) from None
    finally:
        os.close(read_end)
        if write_end >= 0:
            os.close(write_end)
    if node.returncode != 0 or not exported:
        lines = printed.strip().splitlines()
        reason = "\n".join(lines[:8]) or f"node ended with code {node.returncode}"
        raise MisuseError(f"{display_name}: node could not read it: {reason}")
    if environment is None:  # else it is read once more, and has printed the same
        sys.stderr.write(printed)
    return _loose_json(exported.decode(errors="replace"), display_name)


def _collect(node: subprocess.Popen[bytes], read_end: int) -> tuple[bytes, str]:
    """Return what the file exported and what it printed; kill node after its timeout."""
    import threading  # noqa: PLC0415 - only for files that are programs

    pieces: list[bytes] = []

    def read_pieces() -> None:
        while piece := os.read(read_end, 65536):
            pieces.append(piece)

    reader = threading.Thread(target=read_pieces, daemon=True)
    reader.start()
    try:
        printed, _ = node.communicate(timeout=NODE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        node.kill()
        node.communicate()
        return b"", f"it did not end within {NODE_TIMEOUT_S:g} s"
    reader.join(NODE_TIMEOUT_S)
    return b"".join(pieces), printed.decode(errors="replace")
