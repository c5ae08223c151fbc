"""Unpacking a tarball: in a process of its own, which may do that and nothing else.

process        the publisher's side: starts the child, bounds it, believes little of it
child          the child's side: confines itself, reads, writes, says one line
confinement    what the kernel takes from the child: memory, time, files, calls
streams        from the bytes of a file to those of an archive (gzip, bzip2, xz)
members        from the bytes of an archive to members, each within limits
rules          which members and links a release may have
tree           writes members below one directory, by descriptor
"""

from __future__ import annotations
