"""A seccomp filter: what no solution to a problem needs, and what namespaces and limits leave open.

Numbers are the kernel's own (``asm/unistd.h``) and part of its stable interface. Everything else is allowed: what
may be done to files, processes and the network is for the namespaces to say.
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
"""x86-64's second table of calls, whose numbers would pass every comparison."""

AUDIT_ARCHITECTURES: Mapping[str, int] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

REFUSED: Mapping[str, tuple[int | None, int | None]] = {
    # One process, so that the memory limit of a process is the program's; threads are clone() with CLONE_THREAD.
    "fork": (57, None),
    "vfork": (58, None),
    # Memory that no limit of a process counts.
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
    # Namespaces and mounts of its own.
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
    # Keyrings outlive a process, and may be shared with the one that started it.
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # What all share on a machine: its queue of asynchronous requests, its disks, the times of its devices, locks.
    "io_setup": (206, 0),
    "sync": (162, 81),
    "syncfs": (306, 267),
    "utimensat": (280, 88),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "flock": (73, 32),
    # Large doors into the kernel.
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
"""Number on x86-64 and on aarch64; ``None`` where there is no such call."""
CLONE: Mapping[str, int] = {"x86_64": 56, "aarch64": 220}
CLONE3 = 435
SOCKETS: Mapping[str, tuple[int, int]] = {"x86_64": (41, 53), "aarch64": (198, 199)}
"""``socket`` and ``socketpair``."""


def filter_program(machine: str | None = None) -> bytes:
    """The filter as an array of ``struct sock_filter``, for ``bwrap --seccomp``.

    Args:
        machine: as ``platform.machine()`` names it; this one if not given.

    Raises:
        KeyError: a machine that the table does not know.
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
        # The C library starts threads with clone3 if it is there; its flags lie in memory, out of a filter's sight.
        _jump(_EQUAL, CLONE3, 0, 1),
        _statement(_RETURN, _ERRNO | ENOSYS),
        # Processes no, threads yes.
        _jump(_EQUAL, CLONE[machine], 0, 4),
        _statement(_LOAD, _FIRST_ARGUMENT_AT),
        _jump(_ANY_BIT, CLONE_THREAD, 1, 0),
        _statement(_RETURN, _ERRNO | EPERM),
        _statement(_RETURN, _ALLOW),
        # Sockets of this machine only: some families, vsock among them, know nothing of network namespaces.
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
    """Skip so many instructions."""
    return struct.pack("=HBBI", operation, if_true, if_false, value)
