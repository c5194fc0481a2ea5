"""A seccomp filter against system calls that no solution needs and that namespaces and limits leave open.

The numbers are the kernel's (``asm/unistd.h``), part of its stable interface. All other calls are allowed: namespaces
restrict access to files, processes and the network.
"""

import platform
import struct
from collections.abc import Mapping

EPERM, ENOSYS = 1, 38
CLONE_THREAD = 0x00010000
AF_UNIX = 1

_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _EQUAL, _GREATER_OR_EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_X32 = 0x40000000
"""First number of x86-64's second call table (x32), which would pass every comparison."""

AUDIT_ARCHITECTURES: Mapping[str, int] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

REFUSED: Mapping[str, tuple[int | None, int | None]] = {
    # One process, so that its memory limit covers the whole program; threads are clone() with CLONE_THREAD.
    "fork": (57, None),
    "vfork": (58, None),
    # Memory that no process limit counts.
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "vmsplice": (278, 75),
    "splice": (275, 76),
    "tee": (276, 77),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    # New namespaces and mounts.
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    # Keyrings outlive a process and may be shared with its parent.
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # Resources shared by the whole machine: asynchronous I/O, disk syncs, timestamps of devices, locks.
    "io_setup": (206, 0),
    "sync": (162, 81),
    "syncfs": (306, 267),
    "utimensat": (280, 88),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "flock": (73, 32),
    # Large kernel attack surface.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "process_madvise": (440, 440),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
}
"""Call -> its number on x86-64 and on aarch64; ``None`` if there is no such call."""
CLONE: Mapping[str, int] = {"x86_64": 56, "aarch64": 220}
CLONE3 = 435
SOCKETS: Mapping[str, tuple[int, int]] = {"x86_64": (41, 53), "aarch64": (198, 199)}
"""Numbers of ``socket`` and ``socketpair``."""


def filter_program(machine: str | None = None) -> bytes:
    """Return the filter as an array of ``struct sock_filter``, for ``bwrap --seccomp``.

    Args:
        machine: a ``platform.machine()`` name; default: this machine.

    Raises:
        KeyError: a machine that is not in the table.
    """
    machine = machine or platform.machine()
    column = list(AUDIT_ARCHITECTURES).index(machine) if machine in AUDIT_ARCHITECTURES else None
    if column is None:
        raise KeyError(machine)
    code = [
        _statement(_LOAD, _ARCHITECTURE_AT),
        _jump(_EQUAL, AUDIT_ARCHITECTURES[machine], 1, 0),
        _statement(_RETURN, _KILL),
        _statement(_LOAD, _NUMBER_AT),
        _jump(_GREATER_OR_EQUAL, _X32, 0, 1),
        _statement(_RETURN, _KILL),
        # clone3 keeps its flags in memory, where a filter cannot read them; with ENOSYS the C library uses clone.
        _jump(_EQUAL, CLONE3, 0, 1),
        _statement(_RETURN, _ERRNO | ENOSYS),
        # Allow threads, refuse processes.
        _jump(_EQUAL, CLONE[machine], 0, 4),
        _statement(_LOAD, _FIRST_ARGUMENT_AT),
        _jump(_ANY_BIT, CLONE_THREAD, 1, 0),
        _statement(_RETURN, _ERRNO | EPERM),
        _statement(_RETURN, _ALLOW),
        # Unix sockets only: some families, such as vsock, ignore network namespaces.
        _jump(_EQUAL, SOCKETS[machine][0], 1, 0),
        _jump(_EQUAL, SOCKETS[machine][1], 0, 4),
        _statement(_LOAD, _FIRST_ARGUMENT_AT),
        _jump(_EQUAL, AF_UNIX, 1, 0),
        _statement(_RETURN, _ERRNO | EPERM),
        _statement(_RETURN, _ALLOW),
    ]
    for numbers in REFUSED.values():
        number = numbers[column]
        if number is not None:
            code += [_jump(_EQUAL, number, 0, 1), _statement(_RETURN, _ERRNO | EPERM)]
    code.append(_statement(_RETURN, _ALLOW))
    return b"".join(code)


def _statement(operation: int, value: int) -> bytes:
    return struct.pack("=HBBI", operation, 0, 0, value)


def _jump(operation: int, value: int, if_true: int, if_false: int) -> bytes:
    """Skip ``if_true`` or ``if_false`` instructions."""
    return struct.pack("=HBBI", operation, if_true, if_false, value)
