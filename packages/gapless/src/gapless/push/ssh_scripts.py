"""The shell scripts that run on the release server, and what they answer.

They need sh, cat, wc, sha256sum, sync, mv and mkdir.  Each is one line without ' and !,
so that any login shell passes it on.
"""

from __future__ import annotations

from gapless.push.outcome import FOLDER, OLD_FOLDER

ARRIVED = b"gapless: arrived"
"""The line that `UPLOAD` prints when all is done."""
NO_DIRECTORY, NOT_WHOLE, NOT_WRITTEN = 71, 72, 73
"""Exit codes of `UPLOAD`."""

# Arguments: base directory, name, size in bytes, SHA-256, and the signature or nothing; in
# that a line ends in a written \n.  However it ends, it removes its temporary file: a
# connection that breaks is an end of input, and then the size is wrong.
# `set -C` makes each file anew: others may write there, and put a link at its name.
# Contents are synced before they have their names, and the names of checksum and signature
# before that of the upload.  Before coreutils 8.24 `sync` takes no files, and syncs all.
UPLOAD = (
    "set -C; base=$1; src=$1/src; name=$2; size=$3; sum=$4; sig=$5; part=$src/.$name.part; "
    f'test -d "$base" || exit {NO_DIRECTORY}; '
    'end() { code=$?; trap - EXIT; rm -f "$part" "$part.sha256" "$part.sig"; '
    'test -e "$src/$name" || rm -f "$src/$name.sha256" "$src/$name.sig"; exit $code; }; '
    "trap end EXIT; trap "
    f'"exit {NOT_WHOLE}" HUP INT TERM PIPE; '
    'durable() { sync "$@" 2>/dev/null || sync; }; '
    f'test -d "$src" || {{ mkdir -p "$src" && durable "$base" || exit {NOT_WRITTEN}; }}; '
    'find "$src" -maxdepth 1 -name ".*.part*" -mmin +1440 -exec rm -f {} + 2>/dev/null; '
    f'cat > "$part" || exit {NOT_WRITTEN}; '
    'got=$(wc -c < "$part"); '
    f'test "$((got))" -eq "$size" || {{ echo "$((got)) of $size bytes arrived" >&2; '
    f"exit {NOT_WHOLE}; }}; "
    f'got=$(sha256sum < "$part") || exit {NOT_WRITTEN}; '
    'test "${got%% *}" = "$sum" || { echo "its checksum there is ${got%% *}, '
    f'not $sum" >&2; exit {NOT_WHOLE}; }}; '
    f'durable "$part" || exit {NOT_WRITTEN}; '
    'if test -n "$sig"; then printf "%b" "$sig" > "$part.sig" && durable "$part.sig" && '
    f'mv -f "$part.sig" "$src/$name.sig" || exit {NOT_WRITTEN}; fi; '
    'echo "$sum  $name" > "$part.sha256" && durable "$part.sha256" && '
    'mv -f "$part.sha256" "$src/$name.sha256" && durable "$src" && '
    f'mv -f "$part" "$src/$name" && durable "$src" || exit {NOT_WRITTEN}; '
    f'echo "{ARRIVED.decode()}"'
)

# Arguments: base directory, name, seconds.  Prints each new record, and each second whether
# the upload is in the inbox.  Only a publisher of an earlier version writes into src/.
FOLLOW = (
    "left=$3; last=; "
    'while test "$left" -gt 0; do '
    f"file=$1/{FOLDER}/$2.json; "
    f'test -d "$1/{FOLDER}" || file=$1/src/{OLD_FOLDER}/$2.json; '
    'if test -f "$file"; then now=$(cat "$file"); '
    'test "$now" = "$last" || { printf "%s\\n" "$now" || exit; last=$now; }; fi; '
    'if test -e "$1/src/$2"; then echo here; else echo gone; fi || exit; '
    "left=$((left - 1)); sleep 1; done"
)
