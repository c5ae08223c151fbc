"""System calls that a process which reads a tarball has no use for, by machine.

Source: <asm/unistd.h> of x86_64, <asm-generic/unistd.h> for aarch64.
"""

from __future__ import annotations

_BY_NAME: dict[str, tuple[int | None, int | None]] = {
    # other processes, and programs
    "clone": (56, 220),
    "clone3": (435, 435),
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "unshare": (272, 97),
    "setns": (308, 268),
    # signals
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    # a look at other processes, and acts on them
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "perf_event_open": (298, 241),
    "prlimit64": (302, 261),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # sockets, and memory that is not counted or outlives it
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "memfd_create": (319, 279),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # what belongs to a file and is no content: landlock does not look at it
    "openat2": (437, 437),  # its mode cannot be seen by a filter
    "chmod": (90, None),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "truncate": (76, 45),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    # devices, and ways around this filter
    "mknod": (133, None),
    "mknodat": (259, 33),
    "bpf": (321, 280),
    "io_uring_setup": (425, 425),
    "userfaultfd": (323, 282),
    # the machine itself, which root could change
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "settimeofday": (164, 170),
    "adjtimex": (159, 171),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "syslog": (103, 116),
}
"""The numbers on x86_64 and on aarch64; None where a machine has no such call."""

_MODES: dict[str, tuple[int | None, int | None, int]] = {
    "open": (2, None, 2),
    "openat": (257, 56, 3),
    "creat": (85, None, 1),
    "mkdir": (83, None, 1),
    "mkdirat": (258, 34, 2),
    "fchmod": (91, 52, 1),
}
"""Calls that give a file its mode: their numbers, and which argument that is."""

REFUSED_CALLS: dict[str, tuple[int, ...]] = {
    machine: tuple(
        number for each in _BY_NAME.values() if (number := each[at]) is not None
    )
    for at, machine in enumerate(("x86_64", "aarch64"))
}
"""By machine, as `os.uname` names it."""

MODES: dict[str, tuple[tuple[int, int], ...]] = {
    machine: tuple(
        (number, each[2])
        for each in _MODES.values()
        if (number := each[at]) is not None
    )
    for at, machine in enumerate(("x86_64", "aarch64"))
}
"""By machine: the number of each call, and which of its arguments is a mode."""
