"""Virtual machines with the kernels, the systemd and the NFS that users have.

They are made of Debian's packages alone and run under qemu's software emulation; nothing of
them is on this host's network.  `docs/machines.md` says how to add one.
"""
