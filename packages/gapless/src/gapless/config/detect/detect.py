"""Which app a directory holds: the first kind that is seen, the surest first.  Pure."""

from __future__ import annotations

from gapless.config.detect import files, javascript, others, python
from gapless.config.detect.facts import Facts, Found

_KINDS = (
    files.procfile,
    python.django,
    others.ruby,
    python.served,
    javascript.deno,
    javascript.app,
    others.php,
    others.go,
    others.rust,
    others.java,
    others.perl,
    python.program,
    files.script,
    files.static,
    others.binary,
)
KNOWN = (
    "a Procfile, Django, Rails, Rack and Sinatra, ASGI and WSGI, Node, Deno, "
    "PHP, Go, Rust, Java, Perl, Python, start.sh, index.html, a program"
)


def detect(facts: Facts) -> Found | None:
    """Return what a directory holds; what else was seen in it is a remark."""
    seen = [found for kind in _KINDS if (found := kind(facts)) is not None]
    return seen[0] if seen else None


def others_seen(facts: Facts) -> list[str]:
    """Return the kinds that were seen as well, and are not written."""
    seen = [found for kind in _KINDS if (found := kind(facts)) is not None]
    return [f"{each.kind} ({each.why})" for each in seen[1:]]
