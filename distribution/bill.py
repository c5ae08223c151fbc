"""The bill of materials: what each file of a release has in it, as CycloneDX 1.6 JSON.

Of libraries it has the digests of the lock file.  It names no place to get them from.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from distribution import libraries

_SPACE = uuid.UUID("6d0bb3c4-3f0b-5a3e-9d5e-0f9a5e0b8f11")
LICENSE = "Apache-2.0"


def make(files: Iterable[Path], wheels: Iterable[Path], version: str, at: int) -> bytes:
    """Return the bill of *files*, which hold gapless in a version and the *wheels*."""
    files = sorted(files)
    components = [_file(path) for path in files]
    fetched = list(wheels)
    used = libraries.needed()
    components += [_library(each, fetched) for each in used]
    main = {
        "type": "application",
        "bom-ref": "gapless",
        "name": "gapless",
        "version": version,
        "purl": f"pkg:pypi/gapless@{version}",
        "licenses": [{"license": {"id": LICENSE}}],
    }
    digests = "".join(_sha256(path) for path in files)
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SPACE, digests)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": main,
        },
        "components": components,
        "dependencies": [
            {"ref": "gapless", "dependsOn": [_reference(each) for each in used]},
            *({"ref": _reference(each), "dependsOn": []} for each in used),
        ],
    }
    return (json.dumps(bill, indent=2, sort_keys=True) + "\n").encode()


def _reference(library: libraries.Library) -> str:
    return f"pkg:pypi/{library.name}@{library.version}"


def _library(library: libraries.Library, wheels: Iterable[Path]) -> Mapping[str, Any]:
    digests = {_sha256(path): path.name for path in wheels}
    inside = {each: digests[each] for each in library.digests if each in digests}
    return {
        "type": "library",
        "bom-ref": _reference(library),
        "name": library.name,
        "version": library.version,
        "purl": _reference(library),
        "hashes": [{"alg": "SHA-256", "content": each} for each in sorted(inside)],
        "properties": [
            {"name": "gapless:wheel", "value": name} for name in sorted(inside.values())
        ],
    }


def _file(path: Path) -> Mapping[str, Any]:
    return {
        "type": "file",
        "bom-ref": path.name,
        "name": path.name,
        "hashes": [{"alg": "SHA-256", "content": _sha256(path)}],
        "licenses": [{"license": {"id": LICENSE}}],
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
