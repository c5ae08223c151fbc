"""Make the tree and the image, where one sees what takes minutes."""

from __future__ import annotations

import os
import sys

from rig.vm import image, tree

if __name__ == "__main__":
    if os.geteuid():
        sys.exit("machines are made by root: chroot")
    image.make(tree.make())
